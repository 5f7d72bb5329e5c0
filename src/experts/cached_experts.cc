#include "experts/cached_experts.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <span>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/round.h"
#include "experts/layer_order.h"
#include "tensor/layout.h"

namespace st {
namespace {

size_t number(ExpertPart part) { return static_cast<size_t>(part); }

CacheOptions cache_options(const std::vector<ExpertLayer>& layers, int64_t used) {
  return {.layers = std::ssize(layers), .experts = most_experts(layers), .used = used};
}

void arrange_in_place(const MatrixStack& stack, std::span<const std::byte> bytes, std::byte* room) {
  if (stack.arrangement == Arrangement::kAsInFile) return;
  if (stack.arrangement == Arrangement::kSplit) {
    const Matrix& m = stack.prototype;
    return split_in_place(m.type, bytes.data(), m.rows, m.cols, room);
  }
  thread_local std::vector<std::byte> blocks;
  blocks.assign(bytes.begin(), bytes.end());
  arrange(stack, blocks.data(), room);
}

}  // namespace

CachedExperts::CachedExperts(std::vector<ExpertLayer> layers, int64_t used, AsyncReader& reader,
                             uint64_t page)
    : ExpertStore(std::move(layers)),
      used_(used),
      reader_(reader),
      policy_(cache_options(this->layers(), used)) {
  std::map<const ByteSource*, FileId> opened;
  const auto file_of = [&](const MatrixStack& stack) {
    const auto known = opened.find(stack.file.source);
    if (known != opened.end()) return known->second;
    sources_.push_back(stack.file.source);
    return opened.emplace(stack.file.source, reader_.open_again(stack.file.source)).first->second;
  };
  uint64_t rooms[kExpertParts] = {};
  uint64_t unit = 1;  // where reads may begin
  for (const ExpertLayer& layer : this->layers()) {
    std::vector<FileId>& files = files_.emplace_back();
    for (const ExpertPart part : kEachPart) {
      const MatrixStack& stack = layer[part];
      files.push_back(file_of(stack));
      unit = std::max<uint64_t>(unit, reader_.alignment(files.back()));
      uint64_t& room = rooms[number(part)];
      room = std::max({room, reader_.room(files.back(), stack.file.bytes), stack.step});
    }
  }
  for (size_t i = 0; i < kExpertParts; ++i) {
    part_at_[i] = slot_bytes_;
    slot_bytes_ += round_up(rooms[i], unit);
  }
  slot_bytes_ = round_up(slot_bytes_, std::max(unit, page));  // no page has parts of two slots
  int64_t all = 0;
  for (const ExpertLayer& layer : this->layers()) all += layer.gate.count;
  slots_.resize(static_cast<size_t>(all));
  guesses_.resize(files_.size());
  in_order_ = std::ranges::all_of(
      this->layers(), [&](const ExpertLayer& layer) { return layer.gate.count == used; });
  stays_.resize(files_.size());
  ahead_.resize(files_.size());
  memory_ = MemoryRegion(static_cast<uint64_t>(all) * slot_bytes_, page);
  memory_.prefer_huge_pages();
}

CachedExperts::~CachedExperts() {
  reader_.cancel_all();
  reader_.keep(std::move(memory_));  // the device may still be writing
}

// For messages.
std::string CachedExperts::name_of(int64_t l, int64_t expert) const {
  return layer(l).gate.count == 1 ? fmt::format("layer {}", l)
                                  : fmt::format("expert {}/{}", l, expert);
}

std::byte* CachedExperts::room_of(int32_t slot, ExpertPart part) const {
  return memory_.data() + static_cast<uint64_t>(slot) * slot_bytes_ + part_at_[number(part)];
}

void CachedExperts::read(CacheUnit unit, int32_t slot, ExpertPart part) {
  const MatrixStack& stack = layer(unit.layer)[part];
  const FileId file = files_[static_cast<size_t>(unit.layer)][number(part)];
  const uint64_t offset = stack.file.offset + static_cast<uint64_t>(unit.expert) * stack.file.step;
  Part& p = slots_[static_cast<size_t>(slot)].parts[number(part)];
  p.state = PartState::kReading;
  p.shift = offset % reader_.alignment(file);
  p.asked_at = prefetches_;
  p.ticket = reader_.submit({file, offset, stack.file.bytes, room_of(slot, part)});
}

void CachedExperts::prefetch(int64_t l, const ExpertDemand& demand) {
  if (l == 0) note_time();
  stop_ = &demand.stop;
  const std::vector<int32_t> foreseen = judge_guesses(l, demand.experts);
  policy_.ask(l, demand.experts, demand.counts(), demand.tokens);
  let_go_of_strays();
  ++prefetches_;
  give_back();
  std::vector<std::pair<CacheUnit, int32_t>> missing;
  for (const int32_t e : demand.experts) {
    const CacheUnit unit{static_cast<int32_t>(l), e};
    asked_.push_back(unit);
    ++stats_.asked;
    if (policy_.find(l, e) != kNoSlot) {
      const bool ahead = ahead_[static_cast<size_t>(l)] || std::ranges::binary_search(foreseen, e);
      ++(ahead ? stats_.foreseen : stats_.found);
      continue;
    }
    missing.emplace_back(unit, kNoSlot);
  }
  if (in_order_ && !missing.empty()) make_room(l, true, 0);
  for (auto& [unit, slot] : missing) slot = take_slot(unit);
  for (const auto& [unit, slot] : missing) {
    read(unit, slot, ExpertPart::kGate);
    read(unit, slot, ExpertPart::kUp);
  }
  for (const auto& [unit, slot] : missing) read(unit, slot, ExpertPart::kDown);
  ahead_[static_cast<size_t>(l)] = false;
  if (in_order_) read_ahead(l, true);
}

void CachedExperts::guess(int64_t l, std::span<const int32_t> experts) {
  std::vector<Guess>& guesses = guesses_[static_cast<size_t>(l)];
  // Most of the room is for what is known to be needed.
  int64_t reads = foresight_.reads() ? policy_.slots() / 8 : 0;
  reads -= std::ssize(strays_);
  for (const int32_t e : experts) {
    if (policy_.find(l, e) != kNoSlot) continue;
    const CacheUnit unit{static_cast<int32_t>(l), e};
    const int32_t slot = --reads >= 0 ? spare_slot(unit) : kNoSlot;
    guesses.push_back({e, slot != kNoSlot});
    if (slot == kNoSlot) continue;
    policy_.pin(l, e);
    for (const ExpertPart part : kEachPart) read(unit, slot, part);
  }
}

bool CachedExperts::ready(int64_t l, int32_t expert) {
  const int32_t at = policy_.find(l, expert);
  if (at == kNoSlot) return false;
  Slot& slot = slots_[static_cast<size_t>(at)];
  const std::lock_guard lock(slot.mutex);
  return std::ranges::all_of(slot.parts, [&](Part& p) {
    return p.state != PartState::kReading || reader_.ready(p.ticket);
  });
}

Matrix CachedExperts::await(int64_t l, int32_t expert, ExpertPart part) {
  const int32_t at = policy_.find(l, expert);
  Slot& slot = slots_[static_cast<size_t>(at)];
  const std::lock_guard lock(slot.mutex);
  Part& p = slot.parts[number(part)];
  const MatrixStack& stack = layer(l)[part];
  std::byte* room = room_of(at, part);
  const std::byte* place = stack.arrangement == Arrangement::kAsInFile ? room + p.shift : room;
  if (p.state == PartState::kReading) {
    ReadResult result = reader_.await(p.ticket, *stop_);
    if (!result.ok() && !result.buffer_busy && p.asked_at != prefetches_ && !stop_->requested()) {
      // An old story, from before this pass: the device may be well by now.
      read({static_cast<int32_t>(l), expert}, at, part);
      result = reader_.await(p.ticket, *stop_);
    }
    if (result.ok()) result.error = damage(stack, expert, result.bytes);
    if (result.ok()) {
      arrange_in_place(stack, result.bytes, room);
      result.error = bad_scale(stack, place);
    }
    if (result.ok()) {
      p.state = PartState::kHere;
    } else {
      p.error = result.error->within(fmt::format("{} {}", name_of(l, expert), part_name(part)));
      p.state = PartState::kFailed;
    }
  }
  if (p.error) {
    stop_->check();  // in one way everywhere
    throw Error(*p.error);
  }
  Matrix m = stack.prototype;
  m.data = place;
  return m;
}

// What failed, or was not even begun, is forgotten, so that the next pass tries again.
void CachedExperts::release(int64_t l) {
  for (const CacheUnit& unit : asked_) {
    const int32_t at = policy_.find(unit.layer, unit.expert);
    if (at == kNoSlot) continue;
    const Slot& slot = slots_[static_cast<size_t>(at)];
    const bool good = std::ranges::all_of(slot.parts, [](const Part& p) {
      return p.state == PartState::kReading || p.state == PartState::kHere;
    });
    if (good) continue;
    policy_.drop(unit.layer, unit.expert);
    empty(at);
  }
  asked_.clear();
  stop_ = &Stop::never();
  policy_.release(l);
  if (in_order_) read_ahead(l, false);
}

void CachedExperts::check_files() {
  try {
    for (const ByteSource* source : sources_) source->check_unchanged();
  } catch (const Error&) {
    const int64_t room = this->room();
    resize(0);
    resize(room);
    throw;
  }
}

// ---- Slots that change hands ----

// A slot for the unit that nobody writes to.
int32_t CachedExperts::take_slot(CacheUnit unit) {
  for (;;) {
    const int32_t slot = policy_.admit(unit.layer, unit.expert).slot;
    if (slot != kNoSlot) {
      if (vacate(slot)) return slot;
      policy_.drop(unit.layer, unit.expert);
      hold(slot);
      continue;
    }
    if (forget_guesses()) continue;
    if (held_.empty()) {
      fail(ErrorCode::kOutOfMemory, "{}: no room beside the others that are needed",
           name_of(unit.layer, unit.expert));
    }
    wait_for_device();
    stop_->check();
    if (give_back()) continue;
    fail(ErrorCode::kIo, "{}: no room, the device does not finish {} earlier reads",
         name_of(unit.layer, unit.expert), held_.size());
  }
}

// The same for a guess, which may do without: kNoSlot.
int32_t CachedExperts::spare_slot(CacheUnit unit) {
  const int32_t slot = policy_.admit(unit.layer, unit.expert).slot;
  if (slot == kNoSlot || vacate(slot)) return slot;
  policy_.drop(unit.layer, unit.expert);
  hold(slot);
  return kNoSlot;
}

// Gives up what is being read into the slot. True if nothing will be written there any more; does
// not wait for that.
bool CachedExperts::vacate(int32_t at) {
  bool vacant = true;
  for (Part& p : slots_[static_cast<size_t>(at)].parts) {
    if (p.state == PartState::kReading) {
      reader_.cancel(p.ticket);
      if (reader_.ready(p.ticket)) {
        static_cast<void>(reader_.await(p.ticket));
        p.state = PartState::kFailed;
      }
    }
    if (p.state == PartState::kReading || !reader_.drained(p.ticket)) {
      vacant = false;
    } else {
      p = Part{};
    }
  }
  return vacant;
}

// The slot is free: it takes no memory, now or when the device is done with it.
void CachedExperts::empty(int32_t slot) {
  if (vacate(slot)) {
    memory_.discard(static_cast<uint64_t>(slot) * slot_bytes_, slot_bytes_);
  } else {
    hold(slot);
  }
}

void CachedExperts::hold(int32_t slot) {
  policy_.hold(slot);
  held_.push_back(slot);
}

// Of the slots held, those that can be used again; true if there were any.
bool CachedExperts::give_back() {
  const auto given = std::erase_if(held_, [&](int32_t slot) {
    if (!vacate(slot)) return false;
    memory_.discard(static_cast<uint64_t>(slot) * slot_bytes_, slot_bytes_);
    policy_.give_back(slot);
    return true;
  });
  return given > 0;
}

// Until what was given up has come to an end, at most about a second after that.
void CachedExperts::wait_for_device() {
  for (const int32_t slot : held_) {
    for (Part& p : slots_[static_cast<size_t>(slot)].parts) {
      if (p.state != PartState::kReading) continue;
      static_cast<void>(reader_.await(p.ticket, *stop_));
      p.state = PartState::kFailed;
    }
  }
}

void CachedExperts::resize(int64_t experts) {
  forget_guesses();
  const int64_t room = std::clamp<int64_t>(experts, 0, most());
  if (in_order_) choose_layers(room);
  for (const Admission& gone : policy_.resize(room)) {
    ahead_[static_cast<size_t>(gone.evicted.layer)] = false;
    empty(gone.slot);
  }
  wait_for_device();
  give_back();
}

// ---- Layers in order ----

void CachedExperts::choose_layers(int64_t room) {
  const std::vector<bool> stay = layers_that_stay(std::ssize(stays_), room / used_);
  for (size_t l = 0; l < stay.size(); ++l) {
    if (stay[l] == stays_[l]) continue;
    for (int64_t e = 0; e < used_; ++e) {
      stay[l] ? policy_.pin(static_cast<int64_t>(l), e) : policy_.unpin(static_cast<int64_t>(l), e);
    }
  }
  stays_ = stay;
}

// Whether all its experts are there or on their way.
bool CachedExperts::has_layer(int64_t l) const {
  for (int64_t e = 0; e < used_; ++e) {
    if (policy_.find(l, e) == kNoSlot) return false;
  }
  return true;
}

// While layer l is in use, or once it was, layers that come next are read into what is free, or
// into what those that stream and were used have left.
void CachedExperts::read_ahead(int64_t l, bool in_use) {
  const auto L = std::ssize(stays_);
  int64_t reading = 0;
  for (int64_t n = 1; n < L && reading < kStreamBuffers; ++n) {
    const int64_t next = (l + n) % L;
    if (ahead_[static_cast<size_t>(next)]) {
      static_cast<void>(ready(next, 0));  // which has the device go on
      ++reading;
      continue;
    }
    if (has_layer(next)) continue;
    if (!make_room(l, in_use, n)) return;
    for (int64_t e = 0; e < used_; ++e) {
      if (policy_.find(next, e) != kNoSlot) continue;
      const CacheUnit unit{static_cast<int32_t>(next), static_cast<int32_t>(e)};
      const int32_t slot = spare_slot(unit);
      if (slot == kNoSlot) return;  // the device still writes to it
      for (const ExpertPart part : kEachPart) read(unit, slot, part);
    }
    ahead_[static_cast<size_t>(next)] = true;
    ++reading;
  }
}

// Room for a layer that is needed `ahead` layers after l: streamed ones whose next turn comes
// later, the latest first, give way. False if there is too little.
bool CachedExperts::make_room(int64_t l, bool in_use, int64_t ahead) {
  const auto L = std::ssize(stays_);
  const auto enough = [&] { return policy_.slots() - policy_.used() >= used_; };
  // The layer that was used last is needed again after all others.
  for (int64_t n = in_use ? L - 1 : L; n > ahead && !enough(); --n) {
    const int64_t used = (l + n) % L;
    if (stays_[static_cast<size_t>(used)]) continue;
    for (int64_t e = 0; e < used_; ++e) {
      if (policy_.find(used, e) != kNoSlot) policy_.drop(used, e);
    }
    ahead_[static_cast<size_t>(used)] = false;
  }
  return enough();
}

// ---- Guesses ----

// The layer needs `experts`, ascending. Returns those that a guess has had read for it.
std::vector<int32_t> CachedExperts::judge_guesses(int64_t l, std::span<const int32_t> experts) {
  std::vector<int32_t> foreseen;
  int64_t right = 0;
  std::vector<Guess>& guesses = guesses_[static_cast<size_t>(l)];
  for (const Guess& guess : guesses) {
    const bool came_true = std::ranges::binary_search(experts, guess.expert);
    right += came_true;
    if (!guess.read) continue;
    if (came_true) {
      foreseen.push_back(guess.expert);
      policy_.unpin(l, guess.expert);
    } else {
      strays_.push_back({static_cast<int32_t>(l), guess.expert});
    }
  }
  foresight_.judge(right, std::ssize(guesses) - right);
  guesses.clear();
  return foreseen;
}

// What nobody wanted can be evicted once the device is done with it, not before: a slot that must
// be held back costs more than it waits.
void CachedExperts::let_go_of_strays() {
  std::erase_if(strays_, [&](const CacheUnit& unit) {
    if (policy_.find(unit.layer, unit.expert) != kNoSlot && !ready(unit.layer, unit.expert)) {
      return false;
    }
    policy_.unpin(unit.layer, unit.expert);
    return true;
  });
}

// True if there were any that stood in the way.
bool CachedExperts::forget_guesses() {
  bool any = !strays_.empty();
  for (const CacheUnit& unit : strays_) policy_.unpin(unit.layer, unit.expert);
  strays_.clear();
  for (size_t l = 0; l < guesses_.size(); ++l) {
    for (const Guess& guess : guesses_[l]) {
      if (!guess.read) continue;
      policy_.unpin(static_cast<int64_t>(l), guess.expert);
      any = true;
    }
    guesses_[l].clear();
  }
  return any;
}

void CachedExperts::note_time() {
  const auto now = std::chrono::steady_clock::now();
  const double passed = std::chrono::duration<double>(now - pass_began_).count();
  const double busy = reader_.stats().busy_seconds;
  foresight_.begin_pass((busy - busy_seconds_) / passed);
  pass_began_ = now;
  busy_seconds_ = busy;
}

void CachedExperts::warm(std::span<const float> rates) {
  if (in_order_) return;  // all are used alike
  policy_.warm(rates);
  for (const CacheUnit& unit : policy_.hottest(policy_.slots() - policy_.used())) {
    if (unit.expert >= layer(unit.layer).gate.count) continue;  // its layer has fewer than others
    if (policy_.find(unit.layer, unit.expert) != kNoSlot) continue;
    const int32_t slot = policy_.admit(unit.layer, unit.expert).slot;
    if (slot == kNoSlot) return;
    for (const ExpertPart part : kEachPart) read(unit, slot, part);
  }
}

std::vector<float> CachedExperts::rates() const {
  return stats_.asked > 0 ? policy_.rates() : std::vector<float>();
}

CachedExpertsStats CachedExperts::stats() const {
  CachedExpertsStats stats = stats_;
  const ReadStats read = reader_.stats();
  stats.bytes_read = read.bytes_read;
  stats.stall_seconds = read.stall_seconds;
  return stats;
}

}  // namespace st

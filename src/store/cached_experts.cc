#include "store/cached_experts.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <span>
#include <string_view>
#include <thread>

#include "base/error.h"

namespace st {
namespace {

constexpr ExpertPart kParts[] = {ExpertPart::kGate, ExpertPart::kUp, ExpertPart::kDown};
constexpr std::string_view kNames[] = {"gate", "up", "down"};
constexpr uint64_t kPage = 4096;

uint64_t page_up(uint64_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }
size_t number(ExpertPart part) { return static_cast<size_t>(part); }

CacheOptions cache_options(const std::vector<ExpertLayer>& layers, int64_t used) {
  return {.layers = static_cast<int64_t>(layers.size()),
          .experts = layers.front().gate.count,
          .used = used};
}

// Whether the bytes of the file are not yet what kernels read.
bool must_arrange(const MatrixStack& stack) {
  return !stack.arranged && is_split(stack.first.type);
}

void arrange_in_place(const MatrixStack& stack, std::span<const std::byte> bytes, std::byte* room) {
  thread_local std::vector<std::byte> blocks;
  blocks.assign(bytes.begin(), bytes.end());
  arrange(stack, blocks.data(), room);
}

}  // namespace

CachedExperts::CachedExperts(std::vector<ExpertLayer> layers, int64_t used, AsyncReader& reader)
    : ExpertStore(std::move(layers)),
      used_(used),
      reader_(reader),
      policy_(cache_options(this->layers(), used)) {
  std::map<const ByteSource*, FileId> opened;
  const auto file_of = [&](const MatrixStack& stack) {
    const auto* file = dynamic_cast<const File*>(stack.source);
    if (file == nullptr) fail(ErrorCode::kUnsupported, "a memory budget needs a model in a file");
    const auto known = opened.find(file);
    if (known != opened.end()) return known->second;
    return opened.emplace(file, reader_.open(file->path())).first->second;
  };
  uint64_t rooms[kExpertParts] = {};
  for (const ExpertLayer& layer : this->layers()) {
    std::vector<FileId>& files = files_.emplace_back();
    for (const ExpertPart part : kParts) {
      const MatrixStack& stack = layer[part];
      files.push_back(file_of(stack));
      uint64_t& room = rooms[number(part)];
      room = std::max({room, reader_.room(files.back(), stack.file_bytes), page_up(stack.step)});
    }
  }
  for (size_t i = 0; i < kExpertParts; ++i) {
    part_at_[i] = slot_bytes_;
    slot_bytes_ += page_up(rooms[i]);
  }
  const int64_t all = static_cast<int64_t>(files_.size()) * this->layers().front().gate.count;
  slots_.resize(static_cast<size_t>(all));
  memory_ = MemoryRegion(static_cast<uint64_t>(all) * slot_bytes_);
  memory_.prefer_huge_pages();
}

CachedExperts::~CachedExperts() { reader_.cancel_all(); }

std::byte* CachedExperts::room_of(int32_t slot, ExpertPart part) const {
  return memory_.data() + static_cast<uint64_t>(slot) * slot_bytes_ + part_at_[number(part)];
}

void CachedExperts::read(CacheUnit unit, int32_t slot, ExpertPart part) {
  const MatrixStack& stack = layer(unit.layer)[part];
  const FileId file = files_[static_cast<size_t>(unit.layer)][number(part)];
  const uint64_t offset = stack.file_offset + static_cast<uint64_t>(unit.expert) * stack.file_step;
  Part& p = slots_[static_cast<size_t>(slot)].parts[number(part)];
  p.state = PartState::kReading;
  p.shift = offset % reader_.alignment(file);
  p.ticket = reader_.submit({file, offset, stack.file_bytes, room_of(slot, part)});
}

void CachedExperts::prefetch(int64_t l, const ExpertDemand& demand) {
  std::vector<int32_t> counts;
  for (size_t i = 0; i + 1 < demand.begin.size(); ++i) {
    counts.push_back(static_cast<int32_t>(demand.begin[i + 1] - demand.begin[i]));
  }
  policy_.ask(l, demand.experts, counts, demand.tokens);
  asked_.clear();
  std::vector<std::pair<CacheUnit, int32_t>> missing;
  for (const int32_t e : demand.experts) {
    const CacheUnit unit{static_cast<int32_t>(l), e};
    asked_.push_back(unit);
    ++stats_.asked;
    if (policy_.find(l, e) != kNoSlot) {
      ++stats_.found;
      continue;
    }
    const int32_t slot = policy_.admit(l, e).slot;
    if (slot == kNoSlot) {
      fail(ErrorCode::kOutOfMemory, "no room for {} experts at once", demand.experts.size());
    }
    settle(slot);
    missing.emplace_back(unit, slot);
  }
  for (const auto& [unit, slot] : missing) {
    read(unit, slot, ExpertPart::kGate);
    read(unit, slot, ExpertPart::kUp);
  }
  for (const auto& [unit, slot] : missing) read(unit, slot, ExpertPart::kDown);
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
  const auto what = [&] { return fmt::format("expert {}/{} {}", l, expert, kNames[number(part)]); };
  if (p.state == PartState::kReading) {
    const ReadResult result = reader_.await(p.ticket);
    p.state = PartState::kFailed;
    if (!result.ok()) throw result.error->within(what());
    if (!intact(stack, expert, result.bytes)) {
      fail(ErrorCode::kInvalidData, "{}: damaged: its checksum differs", what());
    }
    if (must_arrange(stack)) arrange_in_place(stack, result.bytes, room);
    p.state = PartState::kHere;
  } else if (p.state != PartState::kHere) {
    fail(ErrorCode::kIo, "{}: could not be read", what());
  }
  Matrix m = stack.first;
  m.data = must_arrange(stack) ? room : room + p.shift;
  return m;
}

// What failed is forgotten, so that the next pass tries again.
void CachedExperts::release(int64_t l) {
  for (const CacheUnit& unit : asked_) {
    const int32_t at = policy_.find(unit.layer, unit.expert);
    if (at == kNoSlot) continue;
    const Slot& slot = slots_[static_cast<size_t>(at)];
    const bool bad = std::ranges::any_of(
        slot.parts, [](const Part& p) { return p.state == PartState::kFailed; });
    if (bad) policy_.drop(unit.layer, unit.expert);
  }
  asked_.clear();
  policy_.release(l);
}

// Nothing will write to the slot any more.
void CachedExperts::settle(int32_t at) {
  for (Part& p : slots_[static_cast<size_t>(at)].parts) {
    if (p.state == PartState::kReading) {
      reader_.cancel(p.ticket);
      static_cast<void>(reader_.await(p.ticket));
    }
    while (!reader_.drained(p.ticket)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    p = Part{};
  }
}

void CachedExperts::discard(int32_t at) {
  settle(at);
  memory_.discard(static_cast<uint64_t>(at) * slot_bytes_, slot_bytes_);
}

void CachedExperts::resize(int64_t experts) {
  const int64_t room = std::clamp<int64_t>(experts, 0, most());
  for (const Admission& gone : policy_.resize(room)) discard(gone.slot);
}

void CachedExperts::warm(std::span<const float> rates) {
  policy_.warm(rates);
  for (const CacheUnit& unit : policy_.hottest(policy_.slots() - policy_.used())) {
    if (policy_.find(unit.layer, unit.expert) != kNoSlot) continue;
    const int32_t slot = policy_.admit(unit.layer, unit.expert).slot;
    if (slot == kNoSlot) return;
    for (const ExpertPart part : kParts) read(unit, slot, part);
  }
}

CachedExpertsStats CachedExperts::stats() const {
  CachedExpertsStats stats = stats_;
  const ReadStats read = reader_.stats();
  stats.bytes_read = read.bytes_read;
  stats.stall_seconds = read.stall_seconds;
  return stats;
}

}  // namespace st

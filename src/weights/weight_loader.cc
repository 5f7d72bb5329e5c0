#include "weights/weight_loader.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "weights/expert_layer.h"

namespace st {
namespace {

// Of a large unit the device is given so much at a time: what it does best, and not long before it
// can turn to what others wait for.
constexpr uint64_t kAhead = uint64_t{1} << 20;

}  // namespace

WeightLoader::WeightLoader(const WeightStore& store, int threads)
    : store_(store), pieces_(store.pieces()), left_(pieces_.size()) {
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const auto unit = static_cast<size_t>(pieces_[i].unit);
    if (unit == units_.size()) units_.push_back({.next = i});
    units_[unit].end = i + 1;
  }
  missing_ = std::vector<std::atomic<uint32_t>>(units_.size());
  for (size_t u = 0; u < units_.size(); ++u) {
    missing_[u] = static_cast<uint32_t>(units_[u].end - units_[u].next);
  }
  find_order();
  begin(threads);
}

WeightLoader::~WeightLoader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
}

void WeightLoader::find_order() {
  using Use = WeightStore::Use;
  std::vector<std::vector<WeightUnit>> networks;  // (L) of layers that have one expert
  std::vector<WeightUnit> tables, experts;
  const auto at = [](auto& lists, int64_t i) -> std::vector<WeightUnit>& {
    lists.resize(std::max(lists.size(), static_cast<size_t>(i + 1)));
    return lists[static_cast<size_t>(i)];
  };
  size_t stacks = 0;  // of experts: the parts of a layer, layer by layer
  for (const auto& [first, count, use, layer] : store_.requests()) {
    const auto l = use == Use::kExperts ? static_cast<int64_t>(stacks++ / kExpertParts) : -1;
    std::vector<WeightUnit>& to = use == Use::kRows    ? tables
                                  : use == Use::kWhole ? at(layers_, layer.value_or(-1) + 1)
                                  : count == 1         ? at(networks, l)
                                                       : experts;
    for (WeightUnit unit = first; unit < first + count; ++unit) to.push_back(unit);
  }
  const auto append = [&](const std::vector<WeightUnit>& units) {
    order_.insert(order_.end(), units.begin(), units.end());
  };
  for (size_t i = 0; i < std::max(layers_.size(), networks.size() + 1); ++i) {
    if (i < layers_.size()) append(layers_[i]);
    if (i > 0 && i <= networks.size()) append(networks[i - 1]);
  }
  append(tables);
  experts_ = order_.size();
  append(experts);
  rank_.resize(order_.size());
  for (size_t i = 0; i < order_.size(); ++i) rank_[static_cast<size_t>(order_[i])] = i;
}

void WeightLoader::begin(int threads) {
  complete_ = pieces_.empty();
  threads_.reserve(static_cast<size_t>(std::max(threads, 0)));
  try {
    while (std::ssize(threads_) < threads) threads_.emplace_back([this] { work(); });
  } catch (const std::system_error&) {  // who waits reads
  }
}

void WeightLoader::work() {
  std::vector<std::byte> scratch;
  std::unique_lock lock(mutex_);
  while (const auto piece = take_next()) read(*piece, scratch, lock);
}

// The piece that is to be read next; nothing: all were begun, or none is wanted any more.
std::optional<size_t> WeightLoader::take_next() {
  if (stop_ || error_) return std::nullopt;
  for (; !asked_.empty(); asked_.pop_front()) {
    if (const auto piece = take(asked_.front())) return piece;
  }
  for (; in_order_ < order_.size(); ++in_order_) {
    if (const auto piece = take(order_[in_order_])) return piece;
  }
  return std::nullopt;
}

std::optional<size_t> WeightLoader::take(WeightUnit unit) {
  Unit& u = units_[static_cast<size_t>(unit)];
  return u.next < u.end ? std::optional(u.next++) : std::nullopt;
}

// Called with the lock, and returns with it.
void WeightLoader::read(size_t piece, std::vector<std::byte>& scratch, Lock& lock) {
  const WeightStore::Piece& p = pieces_[piece];
  ++reading_;
  unlocked(lock, rank_[static_cast<size_t>(p.unit)], [&] {
    if (p.begin % kAhead < p.bytes) store_.will_read(p, kAhead);
    try {
      store_.read(p, scratch);
    } catch (const Error& e) {
      // What is wrong with the bytes may be that somebody wrote them just now.
      if (e.code() == ErrorCode::kInvalidData) store_.check_files();
      throw;
    }
    bytes_read_.fetch_add(p.bytes, std::memory_order_relaxed);
    missing_[static_cast<size_t>(p.unit)].fetch_sub(1, std::memory_order_release);
  });
  --reading_;
  if (error_) return changed_.notify_all();
  if (--left_ == 0) {
    unlocked(lock, rank_.size(), [&] { store_.check_files(); });
    if (!error_) complete_.store(true, std::memory_order_release);
  }
  if (left_ == 0 || here(p.unit)) changed_.notify_all();
}

// What `body` throws is the end of the loading; of several errors that of the lowest rank is kept.
template <typename Body>
void WeightLoader::unlocked(Lock& lock, size_t rank, const Body& body) {
  lock.unlock();
  std::exception_ptr error;
  try {
    body();
  } catch (...) {
    error = std::current_exception();
  }
  lock.lock();
  if (!error) return;
  if (!error_ || rank < error_rank_) {
    error_ = error;
    error_rank_ = rank;
  }
  changed_.notify_all();
}

void WeightLoader::check(const Lock&, const Stop& stop) const {
  if (error_) std::rethrow_exception(error_);
  stop.check();
}

void WeightLoader::check() const { check(Lock(mutex_), Stop::never()); }

bool WeightLoader::failed() const {
  const Lock lock(mutex_);
  return error_ != nullptr;
}

void WeightLoader::ask(std::span<const WeightUnit> units) {
  if (complete()) return;
  const Lock lock(mutex_);
  for (const WeightUnit unit : units) {
    const Unit& u = units_[static_cast<size_t>(unit)];
    if (u.next < u.end) asked_.push_back(unit);
  }
}

void WeightLoader::prefer(std::span<const WeightUnit> units) {
  std::vector<size_t> place(rank_.size(), units.size());
  for (size_t i = 0; i < units.size(); ++i) place[static_cast<size_t>(units[i])] = i;
  const Lock lock(mutex_);
  const auto experts =
      std::ranges::subrange(order_.begin() + static_cast<std::ptrdiff_t>(experts_), order_.end());
  std::ranges::stable_sort(experts, {},
                           [&](WeightUnit u) { return place[static_cast<size_t>(u)]; });
  in_order_ = std::min(in_order_, experts_);
}

void WeightLoader::await(WeightUnit unit, const Stop& stop) {
  if (here(unit)) return;
  std::vector<std::byte> scratch;
  Lock lock(mutex_);
  asked_.push_front(unit);
  while (!here(unit)) {
    check(lock, stop);
    if (const auto piece = take(unit)) {
      read(*piece, scratch, lock);
    } else {
      changed_.wait_for(lock, Stop::kLook);
    }
  }
}

void WeightLoader::await_layer(int64_t layer, const Stop& stop) {
  const auto i = static_cast<size_t>(layer + 1);
  if (complete() || i >= layers_.size()) return;
  ask(layers_[i]);
  for (const WeightUnit unit : layers_[i]) await(unit, stop);
}

void WeightLoader::await_all(const Progress& progress, const Stop& stop) {
  const uint64_t all = store_.bytes() - store_.streamed_bytes();
  std::vector<std::byte> scratch;
  Lock lock(mutex_);
  while (!complete()) {
    // What comes before the unit that failed is being read, if it is not there.
    stop.check();
    if (error_ && reading_ == 0) std::rethrow_exception(error_);
    if (const auto piece = take_next()) {
      read(*piece, scratch, lock);
    } else {
      changed_.wait_for(lock, Stop::kLook);
    }
    lock.unlock();
    if (progress) progress("load", std::min(bytes_read(), all), all);
    lock.lock();
  }
  lock.unlock();
  if (progress) progress("load", all, all);
  stop.check();  // whoever was faster
}

}  // namespace st

// Brings the weights of a store to memory, while others compute with those that are there.
//
//   WeightLoader loader(store, 8);           // reads from here on, in the order of need
//   loader.await_layer(3, stop);             // sleeps if it must; helps
//   loader.ask(units);                       // these next
//   loader.await(units[0], stop);
//
// What is waited for is a unit: a tensor, or one matrix of a stack. Threads read the units in the
// order of a forward pass: what belongs to no layer, such as the head; then layer by layer what
// every token uses; tables of which a token uses a row (see RowReader); experts, those first that
// are preferred. What is asked for comes before all that. Who waits for a unit reads pieces of it
// as well, so nobody depends on threads that the system does not give or run.
//
// A unit is there when all of it was read and checked, never before. What cannot be read, or is
// wrong, ends the loading: from then on everybody who asks gets that error, whoever needs the unit.
// Who waits for all of them is told the first in the order of units, however many threads read.
// The files are compared with what they were when the last piece has been read.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/stop.h"
#include "weights/weight_store.h"

namespace st {

class WeightLoader {
 public:
  // Enough to keep a disk busy; more would take the cores from those that compute.
  static constexpr int kThreads = 4;

  // With fewer threads where the system gives fewer; with none, what somebody waits for is read.
  // `store` outlives this.
  WeightLoader(const WeightStore& store, int threads);
  // Gives up, once what is being read has been.
  ~WeightLoader();
  WeightLoader(const WeightLoader&) = delete;
  WeightLoader& operator=(const WeightLoader&) = delete;

  // All calls: any thread.

  // All weights are there. One that is not: see await().
  bool complete() const { return complete_.load(std::memory_order_acquire); }
  bool here(WeightUnit unit) const {
    return missing_[static_cast<size_t>(unit)].load(std::memory_order_acquire) == 0;
  }
  uint64_t bytes_read() const { return bytes_read_.load(std::memory_order_relaxed); }

  // The units will be needed, in this order.
  void ask(std::span<const WeightUnit> units);

  // Of the experts these come first, in this order; other units stay where they are. REQUIRES: each
  // is named once.
  void prefer(std::span<const WeightUnit> units);

  // These return when the unit, or what every token uses of the layer or, with -1, of no layer, is
  // there. Throw what WeightStore::read() throws, Error(kIo) if a file was written to since it was
  // opened, and Error(kCancelled) once `stop` is requested.
  void await(WeightUnit unit, const Stop& stop);
  void await_layer(int64_t layer, const Stop& stop);
  void await_all(const Progress& progress, const Stop& stop);

  // What has gone wrong so far.
  bool failed() const;
  void check() const;  // throws it

 private:
  struct Unit {
    size_t next = 0, end = 0;  // pieces that nobody has begun to read
  };

  using Lock = std::unique_lock<std::mutex>;  // of mutex_

  void find_order();
  void begin(int threads);
  void work();
  std::optional<size_t> take_next();
  std::optional<size_t> take(WeightUnit unit);
  void read(size_t piece, std::vector<std::byte>& scratch, Lock& lock);
  template <typename Body>
  void unlocked(Lock& lock, size_t rank, const Body& body);
  void check(const Lock& lock, const Stop& stop) const;

  const WeightStore& store_;
  const std::vector<WeightStore::Piece> pieces_;
  std::vector<std::atomic<uint32_t>> missing_;   // (units) pieces that have not been read
  std::vector<std::vector<WeightUnit>> layers_;  // (1 + L) used by every token; [0]: of no layer
  std::vector<size_t> rank_;  // (units) in the order that they have by themselves
  std::atomic<bool> complete_{false};
  std::atomic<uint64_t> bytes_read_{0};

  mutable std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::vector<Unit> units_;
  std::deque<WeightUnit> asked_;
  std::vector<WeightUnit> order_;  // all units
  size_t experts_ = 0;             // of order_, where experts begin
  size_t in_order_ = 0;            // of order_, begun
  size_t left_;                    // pieces that have not been read
  size_t reading_ = 0;             // pieces that are being read
  std::exception_ptr error_;
  size_t error_rank_ = 0;  // of the unit that it is about
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace st

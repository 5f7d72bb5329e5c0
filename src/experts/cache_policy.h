// Which experts stay in memory: bookkeeping only, no I/O, no weights, no threads.
//
// Memory is cut into slots of equal size, each for one unit: an expert of a layer. A store that
// keeps parts of experts apart (gate; up and down) makes one policy for each part. It goes like
// this for each layer of each pass:
//
//   policy.ask(layer, experts);                  // counts, and protects them from eviction
//   for (e : experts) {
//     slot = policy.find(layer, e);
//     if (slot == kNoSlot) {
//       const Admission a = policy.admit(layer, e);
//       // a.slot: read the expert into it; kNoSlot: all is in use, read it elsewhere for once
//     }
//   }
//   ... use them ...
//   policy.release(layer);                       // no longer protected
//
// pin() and unpin() protect a unit beyond that, e.g. while a read into its slot is in flight.
//
// The victim is the unit that will probably be needed last. Layers are visited in a circle, so a
// unit asked for by a share q of the tokens is needed in about (1/q - 1) rounds plus the way from
// here to its layer. q comes from use_rates.h. A pass over the layers never flushes what is used
// often, as it does in a list ordered by last use when the list is shorter than the pass. Each
// layer keeps a floor of units, so that no layer has to read all it needs at once.
//
// Costs: ask O(experts of the layer that were ever asked for); find, pin O(1); admit O(layers +
// resident experts of a layer): a scan of the layers' cheapest units. Not for concurrent use.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "experts/use_rates.h"

namespace st {

struct CacheOptions {
  int64_t layers = 0;
  int64_t experts = 0;        // of each layer
  int64_t used = 0;           // of them by a token
  int64_t slots = 0;          // at first; resize() changes it
  double floor_share = 0.25;  // a layer's floor, of slots / layers
};

struct CacheUnit {
  int32_t layer = -1;
  int32_t expert = -1;
  bool operator==(const CacheUnit&) const = default;
};

inline constexpr int32_t kNoSlot = -1;

struct Admission {
  int32_t slot = kNoSlot;  // where the new unit goes
  CacheUnit evicted;       // who had it; layer -1: nobody
};

class CachePolicy {
 public:
  // REQUIRES: 1 <= used <= experts, 1 <= layers, 0 <= slots.
  explicit CachePolicy(const CacheOptions& options);

  // The router of `layer` asks for these distinct experts: UseRates::ask. They cannot be evicted
  // until release(layer).
  void ask(int64_t layer, std::span<const int32_t> experts, std::span<const int32_t> counts = {},
           int64_t tokens = 1);
  void release(int64_t layer);

  // The unit's slot, or kNoSlot. Slots are numbered from 0 and below layers * experts; a free one
  // is taken lowest first.
  int32_t find(int64_t layer, int64_t expert) const { return units_[at(layer, expert)].slot; }

  // Makes room for a unit that is not there. REQUIRES: find() == kNoSlot.
  Admission admit(int64_t layer, int64_t expert);
  // The unit is gone, e.g. because it could not be read; its slot is free. REQUIRES: it is there.
  void drop(int64_t layer, int64_t expert);

  // A free slot that must stay empty, e.g. because a device still writes to it. It takes room like
  // a used one until it is given back.
  void hold(int32_t slot);
  void give_back(int32_t slot);

  // Counted; a pinned unit is not evicted. It need not be there.
  void pin(int64_t layer, int64_t expert);
  void unpin(int64_t layer, int64_t expert);

  // From now on at most so many slots are used. Returns the evicted units with the slots they had,
  // which are now free. Where protected units stand in the way more stay than allowed: excess()
  // says how many; trim() tries again.
  std::vector<Admission> resize(int64_t slots);
  std::vector<Admission> trim() { return resize(slots_); }
  int64_t excess() const { return used_ > slots_ ? used_ - slots_ : 0; }

  int64_t slots() const { return slots_; }
  int64_t used() const { return used_; }  // slots with a unit, and held ones

  // For a hot set beside the model: rates() of one run, given to warm() at the beginning of the
  // next, (layers, experts); hottest() is what to load then, best first.
  std::vector<float> rates() const { return rates_.long_rates(); }
  void warm(std::span<const float> rates);
  std::vector<CacheUnit> hottest(int64_t count) const;
  const UseRates& estimate() const { return rates_; }

 private:
  struct Unit {
    int32_t slot = kNoSlot;
    int32_t pins = 0;
    bool asked = false;
    bool is_protected() const { return asked || pins > 0; }
  };
  struct Row {                      // of one layer
    std::vector<int32_t> resident;  // ascending
    int32_t cheapest = -1;          // resident, not protected; -1: none
    float rate = 0;                 // its rate
    bool stale = false;             // look again
    std::vector<int32_t> asked;
  };

  size_t at(int64_t layer, int64_t expert) const {
    return static_cast<size_t>(layer * options_.experts + expert);
  }
  Row& row(int64_t layer) { return rows_[static_cast<size_t>(layer)]; }
  void refresh(int64_t layer);
  int64_t floor() const;
  // The unit to evict so that one of `layer` (-1: none) can come in; layer -1: none can go.
  CacheUnit victim(int64_t layer);
  int32_t evict(CacheUnit unit);
  int32_t take_free_slot();
  void free_slot(int32_t slot);

  CacheOptions options_;
  int64_t slots_;
  int64_t used_ = 0;
  int64_t current_ = 0;  // the layer asked last
  UseRates rates_;
  std::vector<Unit> units_;    // (layers, experts)
  std::vector<Row> rows_;      // (layers)
  std::vector<int32_t> free_;  // slots, a heap, lowest on top
};

}  // namespace st

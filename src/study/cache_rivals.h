// Cache policies to measure ours against, and the interface that replays all of them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "study/routing_trace.h"

namespace st {

// What one layer of one pass needs.
struct Demand {
  int64_t layer = 0;
  int64_t tokens = 0;            // of the pass
  std::vector<int32_t> experts;  // distinct
  std::vector<int32_t> counts;   // tokens that ask for each
};

class ReplayedPolicy {
 public:
  virtual ~ReplayedPolicy() = default;
  // Serves a demand; returns how many of its experts were there before. All are loaded, in order.
  virtual int64_t serve(const Demand& demand) = 0;
};

// REQUIRES for all: slots >= 1.

// One list by last use over all layers: the reference engine's policy.
std::unique_ptr<ReplayedPolicy> make_lru(const RoutingShape& shape, int64_t slots);
// A list for each layer, all of the same length.
std::unique_ptr<ReplayedPolicy> make_lru_per_layer(const RoutingShape& shape, int64_t slots);
// Two lists: used once, and (at most four fifths) used again since.
std::unique_ptr<ReplayedPolicy> make_slru(const RoutingShape& shape, int64_t slots);
// By number of uses, halved every 64 tokens.
std::unique_ptr<ReplayedPolicy> make_lfu(const RoutingShape& shape, int64_t slots);
// Not online: knows how often each unit is used in the whole trace, and judges by distance as
// CachePolicy does. If routing does not depend on the past, no online policy can do much better.
std::unique_ptr<ReplayedPolicy> make_known(const RoutingTrace& trace, int64_t slots);

}  // namespace st

// Replays a routing trace: how often would an expert have been in memory?
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "experts/cache_policy.h"
#include "study/cache_rivals.h"
#include "study/routing_trace.h"

namespace st {

enum class SimPolicy {
  kBlend,  // ours: cache_policy.h
  kLru,    // the rest of those with a name of their own: cache_rivals.h
  kLruLayer,
  kLfu,
  kSlru,
  kKnown,
  kBelady,        // the bound: evicts what is needed last, knowing the future
  kBeladyBypass,  // the same, where an expert may be used without being kept
};

std::string_view sim_policy_name(SimPolicy policy);
std::optional<SimPolicy> parse_sim_policy(std::string_view name);
std::span<const SimPolicy> all_sim_policies();

struct SimOptions {
  int64_t slots = 0;               // experts the memory holds
  bool by_token = false;           // every token is a pass of its own, as if generated
  int64_t skip_tokens = 0;         // at the beginning that do not count (but are served)
  std::span<const float> hot_set;  // (layers, experts) rates, kBlend: loaded before the beginning
};

struct SimResult {
  uint64_t tokens = 0;
  uint64_t asked = 0;        // experts, each once for each layer and pass
  uint64_t hits = 0;         // of them in memory
  std::vector<float> rates;  // kBlend: those at the end, (layers, experts)

  double hit_rate() const {
    return asked == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(asked);
  }
  uint64_t misses() const { return asked - hits; }
};

// What each layer of each pass needs, in order, one at a time: together they are many times as
// large as the trace.
void for_each_demand(const RoutingTrace& trace, bool by_token,
                     const std::function<void(const Demand&)>& body);

SimResult simulate(const RoutingTrace& trace, SimPolicy policy, const SimOptions& options);

}  // namespace st

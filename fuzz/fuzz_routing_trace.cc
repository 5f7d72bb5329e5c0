// Bytes as a routing trace, and as a hot set. What is accepted can be replayed.
#include "experts/hot_set.h"
#include "fuzz.h"
#include "study/cache_sim.h"

using namespace st;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes = fuzz::text_of(data, size);
  fuzz::allow_errors([&] {
    const RoutingTrace trace = read_routing_trace(*fuzz::source_of(bytes));
    const RoutingShape& shape = trace.shape();
    if (shape.layers * shape.experts > 4096 || trace.tokens() > 4096) return;
    for (const bool by_token : {false, true}) {
      for (const SimPolicy policy : {SimPolicy::kBlend, SimPolicy::kBelady}) {
        const SimResult result = simulate(trace, policy, {.slots = 3, .by_token = by_token});
        fuzz::require(result.hits <= result.asked);
        fuzz::require(result.tokens == static_cast<uint64_t>(trace.tokens()));
      }
    }
  });
  fuzz::allow_errors([&] { fuzz::require(parse_hot_set(bytes, 2, 3).size() == 6); });
  return 0;
}

// One step of the model: a batch of tokens in, logits out.
#pragma once

#include <functional>
#include <initializer_list>
#include <span>
#include <string_view>

#include "base/stop.h"
#include "base/thread_pool.h"
#include "experts/expert_store.h"
#include "kernels/kernels.h"
#include "model/architecture.h"
#include "model/batch.h"
#include "model/config.h"
#include "model/kv_cache.h"
#include "model/layer.h"
#include "model/linear.h"
#include "model/lm_head.h"
#include "model/state.h"
#include "weights/row_reader.h"

namespace st {

// Sees intermediate values: "embed" (T, D), "layer" (T, D) after each, "norm" (rows with logits,
// D).
using Observer = std::function<void(std::string_view what, int64_t layer, std::span<const float>)>;

// Gets logits, a few rows at a time: (rows, V), valid during the call.
using LogitsSink = std::function<void(std::span<const float> rows)>;

// Sees which experts a layer's tokens chose, (T, used), best first.
using RoutingObserver = std::function<void(int64_t layer, std::span<const int32_t> chosen)>;

// Everything one forward pass touches. Owned elsewhere; one pass at a time.
struct Step {
  const ModelConfig& config;
  const Weights& weights;
  const KernelTable& kernels;
  ThreadPool& pool;
  ExpertStore& experts;
  KvCache& cache;
  State& state;
  std::span<const BatchItem> batch;  // (T)
  const LmHeadOptions& head;
  const Stop& stop = Stop::never();  // looked at before each product and each piece of a layer
  RowReader* embedding = nullptr;    // where it stays in the file
  const Observer* observer = nullptr;
  const RoutingObserver* routing_observer = nullptr;
  const LogitsSink* sink = nullptr;  // gets the logits; else they are returned, all together
  int64_t sink_rows = kSinkRows;     // at a time

  int64_t tokens() const { return static_cast<int64_t>(batch.size()); }
};

// y = x W^T for each projection of x (T, cols).
inline void project(Step& s, std::span<const float> x, int64_t cols,
                    std::initializer_list<Projection> projections) {
  s.stop.check();
  project(s.kernels, s.pool, x, s.tokens(), cols, projections, s.state.q8);
  for (const Projection& p : projections) {
    s.state.stats.weight_bytes += p.w.bytes();
    s.state.stats.multiply_adds += static_cast<uint64_t>(s.tokens() * p.w.rows * cols);
  }
}

// Runs the batch; returns the logits (rows, V) of the items that want them, in batch order; valid
// until the next pass; empty if they went to a sink. REQUIRES: 1 <= T <= the state's and cache's
// limits, tokens and positions in range. Throws what ExpertStore::await throws, and
// Error(kCancelled) once its stop is requested; the cache entries of the batch are then undefined.
std::span<const float> forward(const Architecture& architecture, Step& step);

// A decoder layer whose experts are chosen from its raw input, before attention (SmallThinker).
void early_router_layer(Step& step, int64_t l);

}  // namespace st

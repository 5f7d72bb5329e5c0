// What a forward pass works on: every operation of the model takes a Step, and its operands.
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include "base/stop.h"
#include "base/thread_pool.h"
#include "experts/expert_store.h"
#include "kernels/kernels.h"
#include "model/batch.h"
#include "model/config.h"
#include "model/decoder.h"
#include "model/kv_pool.h"
#include "model/lm_head.h"
#include "model/state.h"
#include "tensor/matrix.h"
#include "weights/row_reader.h"
#include "weights/weight_loader.h"

namespace st {

// Sees intermediate values: "embed" (T, D), "layer" (T, D) after each, "norm" (rows with logits,
// D). While it looks all layers compute all tokens.
using Observer = std::function<void(std::string_view what, int64_t layer, std::span<const float>)>;

// Sees what weights are multiplied with. What is only guessed at, and the coefficients of tokens,
// is no business of it.
class InputObserver {
 public:
  virtual ~InputObserver() = default;
  // x: (rows, w.cols)
  virtual void projected(const Matrix& w, std::span<const float> x) = 0;
  // One token in an expert: what gate and up, (D), and down, (F), are multiplied with.
  virtual void in_expert(int64_t layer, int32_t expert, std::span<const float> in,
                         std::span<const float> neurons) = 0;
};

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
  KvPool& cache;
  State& state;
  std::span<const BatchItem> batch;  // (T)
  const LmHeadOptions& head;
  const Stop& stop = Stop::never();  // looked at before each product and each piece of a layer
  WeightLoader* loader = nullptr;    // of what each layer is awaited from; null: all is there
  RowReader* embedding = nullptr;    // where it stays in the file
  RowReader* token_rows = nullptr;   // null: the model has none
  const Observer* observer = nullptr;
  const RoutingObserver* routing_observer = nullptr;
  InputObserver* input_observer = nullptr;
  const LogitsSink* sink = nullptr;  // gets the logits; else they are returned, all together
  int64_t sink_rows = kSinkRows;     // at a time

  int64_t tokens() const { return static_cast<int64_t>(batch.size()); }
};

}  // namespace st

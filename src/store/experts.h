// Where the experts of an MoE layer come from.
//
// A layer's router runs before its attention, so the experts are known early. The forward pass says
// prefetch() as soon as they are, computes attention, and then await()s each. Whether that reads
// from disk, from a cache or not at all is the store's business: ResidentExperts below has
// everything in memory, a cache with a budget can stand in its place.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "store/weights.h"
#include "tensor/matrix.h"

namespace st {

enum class DownLayout {
  kOutputs,    // (D, F): a row for each output, as llama.cpp has it
  kNeurons,    // (F, D): row j is what neuron j adds to the output
  kRegrouped,  // (F, D) for neuron_rows(): kOutputs with Q4_0 or Q8_0 blocks, regrouped at load
};

struct ExpertWeights {
  Matrix gate;  // (F, D)
  Matrix up;    // (F, D)
  Matrix down;  // shape by layout
  DownLayout layout = DownLayout::kOutputs;
};

class ExpertStore {
 public:
  virtual ~ExpertStore() = default;

  // `layer` is going to need these experts (distinct ids). Returns at once; never fails.
  virtual void prefetch(int64_t layer, std::span<const int32_t> experts) = 0;

  // The weights of one prefetched expert, waiting for them if need be; valid until release(layer).
  // Throws Error(kIo) when they cannot be read.
  virtual ExpertWeights await(int64_t layer, int32_t expert) = 0;

  // The layer's experts are no longer in use.
  virtual void release(int64_t layer) = 0;
};

class ResidentExperts final : public ExpertStore {
 public:
  struct Layer {
    MatrixStack gate, up, down;
    DownLayout layout = DownLayout::kOutputs;
  };
  void add_layer(const Layer& layer) { layers_.push_back(layer); }

  void prefetch(int64_t, std::span<const int32_t>) override {}
  ExpertWeights await(int64_t layer, int32_t expert) override;
  void release(int64_t) override {}

 private:
  std::vector<Layer> layers_;
};

}  // namespace st

// Where the experts of an MoE layer come from.
//
// A layer's router runs before its attention, so the experts are known early. The forward pass says
// prefetch() as soon as they are, computes attention, and then await()s what it uses, part by part.
// Whether that reads from disk, from a cache or not at all is the store's business: ResidentExperts
// below has everything in memory, CachedExperts keeps to a budget.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/stop.h"
#include "store/weights.h"
#include "tensor/matrix.h"

namespace st {

// The numbers are part of a file format: never change them.
enum class DownLayout {
  kOutputs,    // (D, F): a row for each output, as llama.cpp has it
  kNeurons,    // (F, D): row j is what neuron j adds to the output
  kRegrouped,  // (F, D) for neuron_rows(): kOutputs with Q4_0 or Q8_0 blocks, regrouped at load
};

enum class ExpertPart : uint8_t { kGate, kUp, kDown };  // in the order of need
inline constexpr size_t kExpertParts = 3;
inline constexpr ExpertPart kEachPart[] = {ExpertPart::kGate, ExpertPart::kUp, ExpertPart::kDown};

constexpr std::string_view part_name(ExpertPart part) {
  constexpr std::string_view kNames[] = {"gate", "up", "down"};
  return kNames[static_cast<size_t>(part)];
}

// The experts of one layer: `count` times gate (F, D), up (F, D) and down, its shape by layout.
struct ExpertLayer {
  MatrixStack gate, up, down;
  DownLayout layout = DownLayout::kOutputs;

  const MatrixStack& operator[](ExpertPart part) const {
    return part == ExpertPart::kGate ? gate : part == ExpertPart::kUp ? up : down;
  }
};

// What a batch wants of a layer: distinct experts, ascending, and for how many (token, slot) pairs.
struct ExpertDemand {
  std::span<const int32_t> experts;
  std::span<const int64_t> begin;  // (experts + 1): expert i has pairs begin[i] .. begin[i + 1]
  int64_t tokens = 0;
  const Stop& stop = Stop::never();  // who waits for them gives up; outlives release()
};

class ExpertStore {
 public:
  explicit ExpertStore(std::vector<ExpertLayer> layers) : layers_(std::move(layers)) {}
  virtual ~ExpertStore() = default;

  // Types, shapes and layout of the experts, by layer.
  const std::vector<ExpertLayer>& layers() const { return layers_; }
  const ExpertLayer& layer(int64_t l) const { return layers_[static_cast<size_t>(l)]; }

  // `layer` is going to need these experts. Returns at once. Throws Error(kOutOfMemory) where there
  // is no room for so many, Error(kIo) where the device that should read them does not answer,
  // Error(kCancelled) once the demand's stop is requested; release(layer) must follow all the same.
  virtual void prefetch(int64_t layer, const ExpertDemand& demand) = 0;

  // Whether guesses are welcome of what the layer after the one just prefetched will need. A guess
  // may be read while this layer computes, and changes nothing else.
  virtual bool wants_guess() { return false; }
  virtual void guess(int64_t layer, std::span<const int32_t> experts) {
    static_cast<void>(layer), static_cast<void>(experts);
  }

  // Whether await() of any part of a prefetched expert would return at once.
  virtual bool ready(int64_t layer, int32_t expert) = 0;

  // A matrix of a prefetched expert, waiting for it if need be; valid until release(layer). May be
  // called by several threads. Throws Error(kIo) when it cannot be read, Error(kCancelled) when it
  // has to be waited for and the demand's stop is requested.
  virtual Matrix await(int64_t layer, int32_t expert, ExpertPart part) = 0;

  // The layer's experts are no longer in use.
  virtual void release(int64_t layer) = 0;

 private:
  std::vector<ExpertLayer> layers_;
};

class ResidentExperts final : public ExpertStore {
 public:
  using ExpertStore::ExpertStore;
  void prefetch(int64_t, const ExpertDemand&) override {}
  bool ready(int64_t, int32_t) override { return true; }
  Matrix await(int64_t l, int32_t expert, ExpertPart part) override {
    return layer(l)[part][expert];
  }
  void release(int64_t) override {}
};

}  // namespace st

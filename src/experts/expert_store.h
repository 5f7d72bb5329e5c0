// Where the experts of an MoE layer come from.
//
// A layer's router runs before its attention, so the experts are known early. The forward pass says
// prefetch() as soon as they are, computes attention, and then await()s what it uses, part by part.
// Whether that reads from disk, from a cache or not at all is the store's business: ResidentExperts
// has everything in memory, or on its way there; CachedExperts keeps to a budget.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/stop.h"
#include "tensor/matrix.h"
#include "weights/expert_layer.h"

namespace st {

// What a batch wants of a layer: distinct experts, ascending, and for how many (token, slot) pairs.
struct ExpertDemand {
  std::span<const int32_t> experts;
  std::span<const int64_t> begin;  // (experts + 1): expert i has pairs begin[i] .. begin[i + 1]
  int64_t tokens = 0;
  const Stop& stop = Stop::never();  // who waits for them gives up; outlives release()

  std::vector<int32_t> counts() const {  // (experts) pairs of each; empty: not said
    std::vector<int32_t> counts;
    for (size_t i = 0; i + 1 < begin.size(); ++i) {
      counts.push_back(static_cast<int32_t>(begin[i + 1] - begin[i]));
    }
    return counts;
  }
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

  // What was used often in an earlier run, (layers, experts) each 0..1, is brought before it is
  // needed. Not between prefetch() and release(), as rates().
  virtual void warm(std::span<const float> rates) { static_cast<void>(rates); }
  // How often each was used by now; empty where none was, or nobody counts.
  virtual std::vector<float> rates() const { return {}; }

  // The layer's experts are no longer in use.
  virtual void release(int64_t layer) = 0;

 private:
  std::vector<ExpertLayer> layers_;
};

}  // namespace st

// Experts in memory for good: all of them, or, as long as a loader brings them, those that are
// asked for before the others.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "experts/expert_store.h"
#include "experts/use_rates.h"
#include "weights/weight_loader.h"

namespace st {

class ResidentExperts final : public ExpertStore {
 public:
  explicit ResidentExperts(std::vector<ExpertLayer> layers) : ExpertStore(std::move(layers)) {}
  // Also counts how often each is used, of which a token chooses `used`: for the next run, and for
  // this one, which has the hottest brought first. `loader`: of their weights, outlives this; null:
  // they are there.
  ResidentExperts(std::vector<ExpertLayer> layers, int64_t used, WeightLoader* loader);

  void prefetch(int64_t layer, const ExpertDemand& demand) override;
  bool ready(int64_t layer, int32_t expert) override;
  Matrix await(int64_t layer, int32_t expert, ExpertPart part) override;
  void release(int64_t /*layer*/) override { stop_ = &Stop::never(); }
  void warm(std::span<const float> rates) override;
  std::vector<float> rates() const override;

 private:
  bool all_there() const { return loader_ == nullptr || loader_->complete(); }

  WeightLoader* const loader_ = nullptr;
  const int64_t experts_ = 0;  // of the layer that has most
  std::optional<UseRates> rates_;
  bool asked_ = false;
  const Stop* stop_ = &Stop::never();  // of the current layer's demand
};

}  // namespace st

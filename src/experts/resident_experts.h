// Experts in memory for good: all of them, or, as long as a loader brings them, those that are
// asked for before the others.
#pragma once

#include <utility>
#include <vector>

#include "experts/expert_store.h"
#include "weights/weight_loader.h"

namespace st {

class ResidentExperts final : public ExpertStore {
 public:
  // `loader`: of their weights, outlives this; null: they are there.
  explicit ResidentExperts(std::vector<ExpertLayer> layers, WeightLoader* loader = nullptr)
      : ExpertStore(std::move(layers)), loader_(loader) {}

  void prefetch(int64_t layer, const ExpertDemand& demand) override;
  bool ready(int64_t layer, int32_t expert) override;
  Matrix await(int64_t layer, int32_t expert, ExpertPart part) override;
  void release(int64_t /*layer*/) override { stop_ = &Stop::never(); }

 private:
  bool all_there() const { return loader_ == nullptr || loader_->complete(); }

  WeightLoader* const loader_;
  const Stop* stop_ = &Stop::never();  // of the current layer's demand
};

}  // namespace st

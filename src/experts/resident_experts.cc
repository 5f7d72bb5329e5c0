#include "experts/resident_experts.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace st {

ResidentExperts::ResidentExperts(std::vector<ExpertLayer> layers, int64_t used,
                                 WeightLoader* loader)
    : ExpertStore(std::move(layers)), loader_(loader), experts_(most_experts(this->layers())) {
  // Where every token uses all of them there is nothing to choose.
  if (used < experts_) rates_.emplace(std::ssize(this->layers()), experts_, used);
}

void ResidentExperts::prefetch(int64_t l, const ExpertDemand& demand) {
  stop_ = &demand.stop;
  asked_ = true;
  if (rates_) rates_->ask(l, demand.experts, demand.counts(), demand.tokens);
  if (all_there()) return;
  const ExpertLayer& layer = this->layer(l);
  std::vector<WeightUnit> units;  // in the order of need
  for (const int32_t e : demand.experts) {
    units.push_back(layer.gate.unit + e);
    units.push_back(layer.up.unit + e);
  }
  for (const int32_t e : demand.experts) units.push_back(layer.down.unit + e);
  loader_->ask(units);
}

bool ResidentExperts::ready(int64_t l, int32_t expert) {
  return all_there() || std::ranges::all_of(kEachPart, [&](ExpertPart part) {
           return loader_->here(layer(l)[part].unit + expert);
         });
}

Matrix ResidentExperts::await(int64_t l, int32_t expert, ExpertPart part) {
  const MatrixStack& stack = layer(l)[part];
  if (!all_there()) loader_->await(stack.unit + expert, *stop_);
  return stack[expert];
}

void ResidentExperts::warm(std::span<const float> rates) {
  if (!rates_) return;
  rates_->set_rates(rates);
  if (all_there()) return;
  std::vector<size_t> hottest(rates.size());
  std::iota(hottest.begin(), hottest.end(), size_t{0});
  std::ranges::stable_sort(hottest, std::greater(), [&](size_t i) { return rates[i]; });
  std::vector<WeightUnit> units;
  for (const size_t i : hottest) {
    const auto l = static_cast<int64_t>(i) / experts_;
    const auto e = static_cast<int32_t>(static_cast<int64_t>(i) % experts_);
    if (e >= layer(l).gate.count) continue;  // its layer has fewer than others
    for (const ExpertPart part : kEachPart) units.push_back(layer(l)[part].unit + e);
  }
  loader_->prefer(units);
}

std::vector<float> ResidentExperts::rates() const {
  return rates_ && asked_ ? rates_->long_rates() : std::vector<float>();
}

}  // namespace st

#include "experts/resident_experts.h"

#include <algorithm>

namespace st {

void ResidentExperts::prefetch(int64_t l, const ExpertDemand& demand) {
  stop_ = &demand.stop;
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

}  // namespace st

#include "store/experts.h"

namespace st {

ExpertWeights ResidentExperts::await(int64_t layer, int32_t expert) {
  const Layer& l = layers_[static_cast<size_t>(layer)];
  return {l.gate[expert], l.up[expert], l.down[expert], l.layout};
}

}  // namespace st

// The feed-forward networks of the experts.
#pragma once

#include <cstdint>

namespace st {

struct Step;

// out += sum over the experts e in state.plan of w_e * Down_e( act(Gate_e in) * (Up_e in) ). act is
// the layer's; in, out: (T, D). With kRelu, and where gates are cut, neurons whose gate is not
// positive then contribute exactly nothing; their up and (unless a row is an output) down rows are
// not read.
void expert_ffn(Step& step, int64_t l, const float* in, float* out);

}  // namespace st

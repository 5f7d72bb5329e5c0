// The sparse ReGLU experts.
#pragma once

#include <cstdint>

namespace st {

struct Step;

// x += sum over the chosen experts e of w_e * Down_e( relu(Gate_e h) * (Up_e h) ), h from state.
// Neurons whose gate is not positive contribute exactly nothing; their up and (if transposed) down
// rows are not read.
void moe_ffn(Step& step, int64_t l);

}  // namespace st

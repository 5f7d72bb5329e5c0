// Mixture of experts: the router and the sparse ReGLU experts.
#pragma once

#include <cstdint>

namespace st {

struct Step;

// Chooses each token's experts for layer l from x: the k largest of router . x (ties: lower index),
// weighted by the configuration's gating over the chosen ones. Fills state.plan. Throws
// Error(kInvalidData) when a score is not a finite number.
void route(Step& step, int64_t l);

// Tells the store which experts layer l would choose from x as it is now. A layer changes x little,
// so for the next one most of that will come true. Leaves state.plan alone.
void foresee(Step& step, int64_t l);

// x += sum over the chosen experts e of w_e * Down_e( relu(Gate_e h) * (Up_e h) ), h from state.
// Neurons whose gate is not positive contribute exactly nothing; their up and (if transposed) down
// rows are not read.
void moe_ffn(Step& step, int64_t l);

}  // namespace st

// The small blocks that layers are made of. Operands are arguments: T tokens of the step, D values
// each.
#pragma once

#include <initializer_list>
#include <span>

#include "model/linear.h"
#include "model/step.h"

namespace st {

// x[t] = E[token_t].  x: (T, D)
void embed(Step& step, float* x);

// out[t] = x[t] / sqrt(mean(x[t]^2) + eps) * weight.  x, out: (T, D), weight: (D)
void norm(Step& step, const float* x, const float* weight, float* out);

// x += y.  x, y: (T, D)
void add(Step& step, const float* y, float* x);

// y = x W^T for each projection of x (rows, cols).
void project(Step& step, std::span<const float> x, int64_t rows,
             std::initializer_list<Projection> projections);

}  // namespace st

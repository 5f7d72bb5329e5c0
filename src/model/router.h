// The router: which experts work on which token.
#pragma once

#include <cstdint>

#include "model/step.h"
#include "tensor/matrix.h"

namespace st {

// Chooses each token's experts for layer l from in (T, D): the k largest of router . in (ties:
// lower index), weighted by the configuration's gating. Fills state.plan. router: (E, D). A token
// with a score that is not a finite number gets an Error(kInvalidData) in state.failures.
void route(Step& step, int64_t l, const Matrix& router, const float* in);

// The same for a dense layer: every token uses its only expert with weight 1.
void use_all(Step& step);

// Tells the store which experts layer l would choose from in (T, D), its router's input as it is
// now. A layer changes that little, so most of the guess comes true. Leaves state.plan alone.
void foresee(Step& step, int64_t l, const Matrix& router, const float* in);

// The experts that the plan names for layer l are on their way from here to the end of the scope,
// however that is left.
class RoutedExperts {
 public:
  RoutedExperts(Step& step, int64_t l);

 private:
  struct Released {
    ExpertStore& experts;
    int64_t layer;
    ~Released() { experts.release(layer); }
  };
  Released released_;
};

}  // namespace st

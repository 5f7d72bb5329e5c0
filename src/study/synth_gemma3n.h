// What is in each tensor of a made-up Gemma 3n.
#pragma once

#include <vector>

#include "study/synth_weights.h"

namespace st {

// Every tensor that a published checkpoint has, in the order of a converted file. Matrices are
// random and turn normed vectors into vectors of deviation 1, so that 5 % of the gates pass where
// the cutoff is that of 5 %. What layers add is normed, so the weights of those norms say how much
// it is: all layers together add to a channel what SynthStream says. The norm before attention has
// the weight at which (x + RMSNorm(x)) / sqrt(2) leaves x as large as it is in the embedding, and
// shrinks what has grown beyond: no depth lets a stream run away.
std::vector<SynthTensor> plan_synth_gemma3n(const SynthArch& arch, const SynthOptions& options);

}  // namespace st

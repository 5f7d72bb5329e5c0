// Routers of a made-up model: which experts are hot.
#pragma once

#include <vector>

#include "study/synth_archs.h"
#include "study/synth_stream.h"

namespace st {

// The router (E, D) of layer l. Scores are random, of deviation 1; those of the hot experts of the
// token's topic are higher by `skew` times what the architecture says. Which experts are hot
// depends on the layer, through `key`, and differs from topic to topic.
std::vector<float> make_synth_router(const SynthArch& arch, const SynthStream& stream, int64_t l,
                                     double skew, uint64_t key);

}  // namespace st

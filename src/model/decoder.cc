#include "model/decoder.h"

#include "model/blocks.h"

namespace st {

void Decoder::begin(Step& step) const { embed(step, step.state.x.data()); }

void Decoder::end(Step& /*step*/) const {}

}  // namespace st

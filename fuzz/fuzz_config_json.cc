// Bytes as config.json. What is accepted must be a model that is possible.
#include <string>

#include "convert/hf_config.h"
#include "fuzz.h"

using namespace st;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::allow_errors([&] {
    const HfConfig hf = parse_hf_config(fuzz::text_of(data, size));
    check_config(hf.model, "");
    fuzz::require(hf.model.layer.size() == static_cast<size_t>(hf.model.layers));
    for (const LayerConfig& layer : hf.model.layer) fuzz::require(layer.rope.factor >= 1);
  });
  return 0;
}

// Bytes as saved logits: what is accepted has so many rows, and each is read or refused.
#include <cmath>

#include "fuzz.h"
#include "study/saved_logits.h"

using namespace st;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::allow_errors([&] {
    SavedLogits logits(fuzz::source_of(fuzz::text_of(data, size)), "logits");
    const SavedLogitsShape& shape = logits.shape();
    fuzz::require(std::ssize(logits.tokens()) == shape.window * shape.windows);
    for (int64_t row = 0; row < shape.rows(); ++row) {
      for (const float value : logits.next()) fuzz::require(!std::isnan(value));
    }
  });
  return 0;
}

// Bytes as importance of columns: what is accepted are numbers, 0 or more.
#include <cmath>

#include "convert/imatrix.h"
#include "fuzz.h"

using namespace st;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::allow_errors([&] {
    const auto source = fuzz::source_of(fuzz::text_of(data, size));
    const GgufModel shapes(source);
    const ImatrixFile file(GgufModel(source), "imatrix");
    for (const std::string& tensor : file.tensors()) {
      const GgufTensor& sums = *shapes.find(tensor + ".in_sum2").info;
      fuzz::allow_errors([&] {
        const auto means = file.find(tensor, sums.dim(0), sums.dim(1));
        fuzz::require(means && means->size() == sums.dim(0) * sums.dim(1));
        for (const float mean : *means) fuzz::require(mean >= 0 && std::isfinite(mean));
      });
    }
  });
  return 0;
}

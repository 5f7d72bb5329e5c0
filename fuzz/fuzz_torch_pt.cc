// Bytes as a torch file, and as the pickle in one: mutations of the pickle then need not keep the
// zip headers around it right.
#include "format/checkpoint.h"
#include "fuzz.h"
#include "support/bytes.h"

using namespace st;

namespace {

void read(std::string_view bytes) {
  const auto source = fuzz::source_of(bytes);
  fuzz::allow_errors([&] {
    for (const CheckpointTensor& tensor : read_torch_pt(source)) {
      fuzz::require_range(*source, tensor.offset, tensor.bytes);
    }
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes = fuzz::text_of(data, size);
  read(bytes);
  read(testkit::zip_of({{"m/data.pkl", std::string(bytes)},
                        {"m/data/0", std::string(64, '\0')},
                        {"m/version", "3\n"}}));
  return 0;
}

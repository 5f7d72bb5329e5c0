// Bytes as a safetensors file, and as the header of one: mutations of the text then need not keep
// the length in front of it right.
#include "format/checkpoint.h"
#include "fuzz.h"
#include "support/bytes.h"

using namespace st;

namespace {

void read(std::string_view bytes) {
  const auto source = fuzz::source_of(bytes);
  fuzz::allow_errors([&] {
    for (const CheckpointTensor& tensor : read_safetensors(source)) {
      fuzz::require_range(*source, tensor.offset, tensor.bytes);
    }
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes = fuzz::text_of(data, size);
  read(bytes);
  read(testkit::cat(testkit::le(uint64_t{size}), bytes, std::string(64, '\0')));
  return 0;
}

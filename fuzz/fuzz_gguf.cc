// Bytes as a GGUF file.
#include "format/gguf.h"
#include "fuzz.h"

using namespace st;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto source = fuzz::source_of(fuzz::text_of(data, size));
  fuzz::allow_errors([&] {
    const GgufFile file(source);
    for (const GgufTensor& tensor : file.tensors()) {
      fuzz::require_range(*source, tensor.offset, tensor.bytes);
      fuzz::require(file.find_tensor(tensor.name) == &tensor);
    }
    for (const GgufEntry& entry : file.entries()) {
      fuzz::require(file.find(entry.key) == &entry.value);
      fuzz::allow_errors([&] { file.find_u32(entry.key); });
      fuzz::allow_errors([&] { file.find_f32(entry.key); });
      fuzz::allow_errors([&] { file.find_string(entry.key); });
      fuzz::allow_errors([&] { file.find_strings(entry.key); });
      fuzz::allow_errors([&] { file.find_integers(entry.key); });
    }
  });
  // What may only be listed keeps to its ranges too.
  fuzz::allow_errors([&] {
    const GgufFile file(source, GgufTypes::kAny);
    for (const GgufTensor& tensor : file.tensors()) {
      fuzz::require_range(*source, tensor.offset, tensor.bytes);
    }
  });
  return 0;
}

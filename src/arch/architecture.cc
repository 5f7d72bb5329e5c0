#include "arch/architecture.h"

#include "base/error.h"

namespace st {

Architectures all_architectures() {
  static constexpr const Architecture* kAll[] = {&kSmallThinker, &kQwen3, &kQwen3Moe, &kGemma3n};
  return kAll;
}

const Architecture& find_architecture(const GgufFile& file, Architectures known) {
  const std::string* name = file.find_string("general.architecture");
  if (name == nullptr) fail(ErrorCode::kInvalidData, "key general.architecture: missing");
  std::string names;
  for (const Architecture* architecture : known) {
    if (architecture->name == *name) return *architecture;
    names += (names.empty() ? "" : ", ") + std::string(architecture->name);
  }
  fail(ErrorCode::kUnsupported, "architecture '{}' unsupported (known: {})", printable(*name),
       names);
}

}  // namespace st

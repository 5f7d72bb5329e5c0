#include "model/architecture.h"

#include "base/error.h"

namespace st {

const Architecture& find_architecture(const GgufFile& file) {
  static constexpr const Architecture* kAll[] = {&kSmallThinker};
  const std::string* name = file.find_string("general.architecture");
  if (name == nullptr) fail(ErrorCode::kInvalidData, "key general.architecture: missing");
  std::string known;
  for (const Architecture* architecture : kAll) {
    if (architecture->name == *name) return *architecture;
    known += (known.empty() ? "" : ", ") + std::string(architecture->name);
  }
  fail(ErrorCode::kUnsupported, "architecture '{}' unsupported (known: {})", printable(*name),
       known);
}

}  // namespace st

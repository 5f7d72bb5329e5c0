#include "families/fixture.h"

#include <algorithm>
#include <fstream>
#include <map>

#include "convert/convert.h"
#include "support/shipped.h"
#include "support/temporary_folder.h"

namespace st::families {

std::string test_name(std::string folder) {
  std::ranges::replace(folder, '-', '_');
  return folder;
}

std::string converted(const std::string& folder, DType type) {
  static const TemporaryFolder workspace;  // removed when the program ends
  static std::map<std::string, std::string> made;
  const std::string key = folder + "-" + std::string(dtype_name(type));
  const auto [entry, is_new] = made.try_emplace(key, workspace / (key + ".gguf"));
  if (is_new) {
    convert_hf({.folder = testkit::shipped_model(folder), .outfile = entry->second, .type = type});
  }
  return entry->second;
}

uint64_t budget_for(const MemoryPlan& plan, int64_t tokens, int64_t room) {
  return plan.fixed(tokens) + plan.kv_full + static_cast<uint64_t>(room) * plan.expert;
}

const nlohmann::json& read_golden(const std::string& folder) {
  static std::map<std::string, nlohmann::json> files;
  const auto [file, is_new] = files.try_emplace(folder);
  if (is_new) {
    file->second =
        nlohmann::json::parse(std::ifstream(testkit::shipped_model(folder + "/golden.json")));
  }
  return file->second;
}

}  // namespace st::families

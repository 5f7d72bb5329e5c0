// Which keys an object of a file may have, so that none that matters is passed over in silence.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace st {

struct KnownKey {
  std::string_view name;
  // The values that may stand here, as a JSON list such as "[0, false]"; empty: any, because the
  // key is read elsewhere or changes no result. null is the same as no key.
  std::string_view only = {};
};

// Throws Error(kUnsupported) that names the first key which has another value than it may, or is
// unknown and on. Returns the unknown keys that are off (false or empty). REQUIRES: an object.
std::vector<std::string> check_keys(const nlohmann::json& object, std::span<const KnownKey> known);

}  // namespace st

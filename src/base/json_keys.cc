#include "base/json_keys.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"

namespace st {
namespace {

using nlohmann::json;

bool is_off(const json& value) {
  return value.is_null() || value == false || value == "" ||
         (value.is_structured() && value.empty());
}

void check_value(const KnownKey& known, const json& value) {
  if (known.only.empty() || value.is_null()) return;
  const json wanted = parse_json(known.only);
  if (std::ranges::find(wanted, value) != wanted.end()) return;
  std::string list = wanted.empty() ? "null" : "";
  for (const json& choice : wanted) list += (list.empty() ? "" : " or ") + show_json(choice);
  fail(ErrorCode::kUnsupported, "{} {} unsupported, want {}", known.name, show_json(value), list);
}

}  // namespace

std::vector<std::string> check_keys(const json& object, std::span<const KnownKey> known) {
  std::vector<std::string> off;
  for (const auto& [name, value] : object.items()) {
    const auto it = std::ranges::find(known, name, &KnownKey::name);
    if (it != known.end()) {
      check_value(*it, value);
    } else if (is_off(value)) {
      off.push_back(name);
    } else {
      fail(ErrorCode::kUnsupported,
           "{} {} unsupported: the key is unknown and may change the model; remove it from the "
           "file if it does not",
           printable(name), show_json(value));
    }
  }
  return off;
}

}  // namespace st

// JSON files of a model folder.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string_view>

#include "base/json.h"

namespace st {

// Throws Error(kInvalidData) unless the text begins like an object, and says what it is instead if
// that is known: a Git LFS pointer, an HTML page, an archive.
void check_json_object(std::string_view text);

// Both that and parse_json().
nlohmann::json parse_json_object(std::string_view text, std::span<const JsonStream> streams = {});

}  // namespace st

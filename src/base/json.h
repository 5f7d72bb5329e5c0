// JSON that came from a file: parsed with limits, read with the path of each value in the error.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace st {

// Parses UTF-8 JSON. Throws Error(kInvalidData) on syntax errors, duplicate keys, nesting deeper
// than 64 levels, or invalid UTF-8. Key order is not kept.
nlohmann::json parse_json(std::string_view text);

// Typed access to members of an object; every failure names the key and what was expected.
// `find_*` return nullptr or the fallback when the key is absent or null; `get_*` require it.
int64_t get_int(const nlohmann::json& object, std::string_view key, int64_t min, int64_t max);
int64_t find_int(const nlohmann::json& object, std::string_view key, int64_t min, int64_t max,
                 int64_t fallback);
double find_number(const nlohmann::json& object, std::string_view key, double min, double max,
                   double fallback);
bool find_bool(const nlohmann::json& object, std::string_view key, bool fallback);
std::string find_string(const nlohmann::json& object, std::string_view key,
                        std::string_view fallback);
const nlohmann::json* find(const nlohmann::json& object, std::string_view key);
// An array of integers in [min, max].
std::vector<int64_t> int_array(const nlohmann::json& array, std::string_view name, int64_t min,
                               int64_t max);

// `value` as JSON, printable and cut to 40 bytes, for messages.
std::string show_json(const nlohmann::json& value);

}  // namespace st

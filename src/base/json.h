// JSON that came from a file: parsed with limits, read with the path of each value in the error.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace st {

// A list or object of the file, two levels down, whose elements may be many: each is given to
// `take` with its key ("" in a list) as it is read, and not kept. What stays of it is empty.
struct JsonStream {
  std::string_view object, list;  // {object: {list: ...}}
  std::function<void(const std::string& key, nlohmann::json element)> take;
};

// Parses UTF-8 JSON. Throws Error(kInvalidData) on syntax errors, duplicate keys (those of a stream
// are not compared), nesting deeper than 64 levels, invalid UTF-8, a string or number of more than
// 2^24 bytes, or more than 2^17 values besides the elements of `streams`: then what is kept is
// within 20 MiB and twice the text. NaN and infinities as Python writes them are read as strings.
// Key order is not kept.
nlohmann::json parse_json(std::string_view text, std::span<const JsonStream> streams = {});
// With the keys of objects in their order.
nlohmann::ordered_json parse_ordered_json(std::string_view text);

// Typed access to members of an object; every failure names the key and what was expected.
// `find_*` return nullptr or the fallback when the key is absent or null; `get_*` require it.
int64_t as_int(const nlohmann::json& value, std::string_view name, int64_t min, int64_t max);
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
std::string show_json(const nlohmann::ordered_json& value);

}  // namespace st

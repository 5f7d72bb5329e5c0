#include "base/json.h"

#include <nlohmann/json.hpp>
#include <string>
#include <unordered_set>

#include "base/error.h"

namespace st {
namespace {

constexpr int kMaxDepth = 64;

int64_t checked_int(const nlohmann::json& value, std::string_view name, int64_t min, int64_t max) {
  // Unsigned values beyond int64 would wrap in get<int64_t>.
  const bool fits = value.is_number_integer() &&
                    (!value.is_number_unsigned() || value.get<uint64_t>() <= INT64_MAX);
  if (!fits || value.get<int64_t>() < min || value.get<int64_t>() > max) {
    fail(ErrorCode::kInvalidData, "{}: want an integer in {}..{}, got {}", printable(name), min,
         max, show_json(value));
  }
  return value.get<int64_t>();
}

}  // namespace

std::string show_json(const nlohmann::json& value) {
  return printable(value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace), 40);
}

nlohmann::json parse_json(std::string_view text) {
  using Event = nlohmann::json::parse_event_t;
  // The parser below would take a NUL for the end of the text.
  if (const size_t nul = text.find('\0'); nul != text.npos) {
    fail(ErrorCode::kInvalidData, "invalid JSON at byte {}", nul + 1);
  }
  std::vector<std::unordered_set<std::string>> keys;  // one set per open object
  const auto check = [&](int depth, Event event, nlohmann::json& value) {
    if (depth > kMaxDepth) fail(ErrorCode::kInvalidData, "JSON nested deeper than {}", kMaxDepth);
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key) {
      const auto& name = value.get_ref<const std::string&>();
      if (!keys.back().insert(name).second) {
        fail(ErrorCode::kInvalidData, "duplicate key '{}'", printable(name));
      }
    }
    return true;
  };
  try {
    return nlohmann::json::parse(text, check);
  } catch (const nlohmann::json::parse_error& e) {
    fail(ErrorCode::kInvalidData, "invalid JSON at byte {}", e.byte);
  } catch (const nlohmann::json::exception&) {
    fail(ErrorCode::kInvalidData, "invalid JSON: a number is out of range");
  }
}

const nlohmann::json* find(const nlohmann::json& object, std::string_view key) {
  if (!object.is_object()) fail(ErrorCode::kInvalidData, "want a JSON object");
  const auto it = object.find(std::string(key));
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

int64_t get_int(const nlohmann::json& object, std::string_view key, int64_t min, int64_t max) {
  const nlohmann::json* value = find(object, key);
  if (value == nullptr) fail(ErrorCode::kInvalidData, "{}: missing", printable(key));
  return checked_int(*value, key, min, max);
}

int64_t find_int(const nlohmann::json& object, std::string_view key, int64_t min, int64_t max,
                 int64_t fallback) {
  const nlohmann::json* value = find(object, key);
  return value == nullptr ? fallback : checked_int(*value, key, min, max);
}

double find_number(const nlohmann::json& object, std::string_view key, double min, double max,
                   double fallback) {
  const nlohmann::json* value = find(object, key);
  if (value == nullptr) return fallback;
  if (!value->is_number() || value->get<double>() < min || value->get<double>() > max) {
    fail(ErrorCode::kInvalidData, "{}: want a number in {}..{}, got {}", printable(key), min, max,
         show_json(*value));
  }
  return value->get<double>();
}

bool find_bool(const nlohmann::json& object, std::string_view key, bool fallback) {
  const nlohmann::json* value = find(object, key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) {
    fail(ErrorCode::kInvalidData, "{}: want true or false, got {}", printable(key),
         show_json(*value));
  }
  return value->get<bool>();
}

std::string find_string(const nlohmann::json& object, std::string_view key,
                        std::string_view fallback) {
  const nlohmann::json* value = find(object, key);
  if (value == nullptr) return std::string(fallback);
  if (!value->is_string()) {
    fail(ErrorCode::kInvalidData, "{}: want a string, got {}", printable(key), show_json(*value));
  }
  return value->get<std::string>();
}

std::vector<int64_t> int_array(const nlohmann::json& array, std::string_view name, int64_t min,
                               int64_t max) {
  if (!array.is_array()) {
    fail(ErrorCode::kInvalidData, "{}: want an array, got {}", printable(name), show_json(array));
  }
  std::vector<int64_t> values;
  values.reserve(array.size());
  for (size_t i = 0; i < array.size(); ++i) {
    values.push_back(checked_int(array[i], fmt::format("{}[{}]", name, i), min, max));
  }
  return values;
}

}  // namespace st

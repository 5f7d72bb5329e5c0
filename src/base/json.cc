#include "base/json.h"

#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"

namespace st {

namespace {

template <typename Json>
std::string show(const Json& value) {
  constexpr size_t kShown = 40;
  if (value.is_string() && value.template get_ref<const std::string&>().size() > kShown) {
    return show(Json(value.template get_ref<const std::string&>().substr(0, kShown)));
  }
  return printable(value.dump(-1, ' ', true, Json::error_handler_t::replace), kShown);
}

}  // namespace

std::string show_json(const nlohmann::json& value) { return show(value); }
std::string show_json(const nlohmann::ordered_json& value) { return show(value); }

const nlohmann::json* find(const nlohmann::json& object, std::string_view key) {
  if (!object.is_object()) fail(ErrorCode::kInvalidData, "want a JSON object");
  const auto it = object.find(std::string(key));
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

int64_t as_int(const nlohmann::json& value, std::string_view name, int64_t min, int64_t max) {
  // Unsigned values beyond int64 would wrap in get<int64_t>.
  const bool fits = value.is_number_integer() &&
                    (!value.is_number_unsigned() || value.get<uint64_t>() <= INT64_MAX);
  if (!fits || value.get<int64_t>() < min || value.get<int64_t>() > max) {
    fail(ErrorCode::kInvalidData, "{}: want an integer in {}..{}, got {}", printable(name), min,
         max, show_json(value));
  }
  return value.get<int64_t>();
}

int64_t get_int(const nlohmann::json& object, std::string_view key, int64_t min, int64_t max) {
  const nlohmann::json* value = find(object, key);
  if (value == nullptr) fail(ErrorCode::kInvalidData, "{}: missing", printable(key));
  return as_int(*value, key, min, max);
}

int64_t find_int(const nlohmann::json& object, std::string_view key, int64_t min, int64_t max,
                 int64_t fallback) {
  const nlohmann::json* value = find(object, key);
  return value == nullptr ? fallback : as_int(*value, key, min, max);
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
    values.push_back(as_int(array[i], fmt::format("{}[{}]", name, i), min, max));
  }
  return values;
}

}  // namespace st

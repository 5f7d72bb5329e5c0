#include "convert/hf_rope.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "base/json_keys.h"

namespace st {
namespace {

using nlohmann::json;

// Of both types, and of "default" alone.
constexpr std::array<KnownKey, 6> kDefault = {{{"rope_theta"},
                                               {"rope_type"},
                                               {"type"},
                                               {"original_max_position_embeddings"},
                                               {"partial_rotary_factor", "[1]"},
                                               {"factor", "[1]"}}};
constexpr std::array<KnownKey, 6> kLinear = {{{"rope_theta"},
                                              {"rope_type"},
                                              {"type"},
                                              {"original_max_position_embeddings"},
                                              {"partial_rotary_factor", "[1]"},
                                              {"factor"}}};

// Transformers 5 may write one set of parameters for each type of layer; all must be the same.
const json& same_for_all_layers(const json& parameters) {
  const bool nested =
      std::ranges::any_of(parameters, [](const json& value) { return value.is_object(); });
  if (!nested) return parameters;
  const json& first = *parameters.begin();
  for (const json& value : parameters) {
    if (value != first) fail(ErrorCode::kUnsupported, "differs between types of layers");
  }
  return first;
}

std::string rope_type(const json& parameters) {
  const std::string old_name = find_string(parameters, "type", "");
  const std::string type = find_string(parameters, "rope_type", old_name);
  if (!old_name.empty() && old_name != type) {
    fail(ErrorCode::kInvalidData, "type '{}', but rope_type '{}'", printable(old_name),
         printable(type));
  }
  if (type.empty() && find(parameters, "factor") == nullptr) return "default";
  if (type != "default" && type != "linear") {
    fail(ErrorCode::kUnsupported, "rope_type '{}' unsupported (known: default, linear)",
         printable(type));
  }
  return type;
}

double find_theta(const json& object, double fallback) {
  return find_number(object, "rope_theta", 1, 1e12, fallback);
}

}  // namespace

HfRope read_hf_rope(const json& config) {
  const bool old_theta = find(config, "rope_theta") != nullptr;
  HfRope rope;
  rope.theta = static_cast<float>(find_theta(config, rope.theta));
  const json* scaling = find(config, "rope_scaling");
  const json* all = find(config, "rope_parameters");
  if (scaling != nullptr && all != nullptr && *scaling != *all) {
    fail(ErrorCode::kInvalidData, "rope_scaling and rope_parameters disagree");
  }
  const json* given = all != nullptr ? all : scaling;
  if (given == nullptr) return rope;

  with_context(all != nullptr ? "rope_parameters" : "rope_scaling", [&] {
    if (!given->is_object()) {
      fail(ErrorCode::kInvalidData, "want a JSON object, got {}", show_json(*given));
    }
    const json& parameters = same_for_all_layers(*given);
    const bool linear = rope_type(parameters) == "linear";
    check_keys(parameters, linear ? kLinear : kDefault);
    const auto theta = static_cast<float>(find_theta(parameters, rope.theta));
    if (old_theta && theta != rope.theta) {
      fail(ErrorCode::kInvalidData, "rope_theta {}, but {} outside of it", theta, rope.theta);
    }
    rope.theta = theta;
    if (!linear) return;
    if (find(parameters, "factor") == nullptr) fail(ErrorCode::kInvalidData, "factor: missing");
    rope.factor = static_cast<float>(find_number(parameters, "factor", 1, 1e6, 1));
  });
  return rope;
}

}  // namespace st

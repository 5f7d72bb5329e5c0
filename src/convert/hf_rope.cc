#include "convert/hf_rope.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/json_keys.h"

namespace st {
namespace {

using nlohmann::json;

constexpr KnownKey kOfAll[] = {{"rope_theta"},
                               {"rope_type"},
                               {"type"},
                               {"original_max_position_embeddings"},
                               {"partial_rotary_factor", "[1]"}};
constexpr KnownKey kOfDefault[] = {{"factor", "[1]"}};
constexpr KnownKey kOfLinear[] = {{"factor"}};
constexpr KnownKey kOfYarn[] = {
    {"factor"},       {"attention_factor"},    {"beta_fast"}, {"beta_slow"}, {"truncate", "[true]"},
    {"mscale", "[]"}, {"mscale_all_dim", "[]"}};

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
  if (type != "default" && type != "linear" && type != "yarn") {
    fail(ErrorCode::kUnsupported, "rope_type '{}' unsupported (known: default, linear, yarn)",
         printable(type));
  }
  return type;
}

std::optional<float> find_theta(const json& object, const char* name = "rope_theta") {
  if (find(object, name) == nullptr) return std::nullopt;
  return static_cast<float>(find_number(object, name, 1, 1e12, 1));
}

void check_parameters(const json& parameters, std::span<const KnownKey> of_type) {
  std::vector<KnownKey> known(std::begin(kOfAll), std::end(kOfAll));
  known.insert(known.end(), of_type.begin(), of_type.end());
  check_keys(parameters, known);
}

float read_factor(const json& parameters) {
  if (find(parameters, "factor") == nullptr) fail(ErrorCode::kInvalidData, "factor: missing");
  return static_cast<float>(find_number(parameters, "factor", 1, 1e6, 1));
}

// `context`: max_position_embeddings, or 0.
void read_yarn(const json& parameters, int64_t context, Rope& rope) {
  constexpr const char* kContext = "original_max_position_embeddings";
  rope.yarn_context = find_int(parameters, kContext, 1, 1 << 27, context);
  if (rope.yarn_context == 0) fail(ErrorCode::kInvalidData, "{}: missing", kContext);
  rope.beta_fast = static_cast<float>(find_number(parameters, "beta_fast", 1e-3, 1e6, 32));
  rope.beta_slow = static_cast<float>(find_number(parameters, "beta_slow", 1e-3, 1e6, 1));
  rope.magnitude = static_cast<float>(
      find_number(parameters, "attention_factor", 1e-3, 1e3, yarn_magnitude(rope.factor)));
}

// Parameters of one rotation. `theta`: what is said of it outside of them.
Rope read_parameters(const json& parameters, int64_t context, const std::optional<float>& theta,
                     Rope rope) {
  const std::string type = rope_type(parameters);
  check_parameters(parameters, type == "default"  ? std::span<const KnownKey>(kOfDefault)
                               : type == "linear" ? std::span<const KnownKey>(kOfLinear)
                                                  : std::span<const KnownKey>(kOfYarn));
  rope.theta = find_theta(parameters).value_or(rope.theta);
  if (theta && *theta != rope.theta) {
    fail(ErrorCode::kInvalidData, "rope_theta {}, but {} outside of it", rope.theta, *theta);
  }
  if (type != "default") rope.factor = read_factor(parameters);
  if (type == "yarn") read_yarn(parameters, context, rope);
  return rope;
}

const json& as_object(const json& value) {
  if (value.is_object()) return value;
  fail(ErrorCode::kInvalidData, "want a JSON object, got {}", show_json(value));
}

// rope_parameters, or its older name.
struct Given {
  const char* name = "";
  const json* parameters = nullptr;  // null: none
};
Given find_parameters(const json& config) {
  const json* scaling = find(config, "rope_scaling");
  const json* all = find(config, "rope_parameters");
  if (scaling != nullptr && all != nullptr && *scaling != *all) {
    fail(ErrorCode::kInvalidData, "rope_scaling and rope_parameters disagree");
  }
  if (all != nullptr) return {"rope_parameters", all};
  return {"rope_scaling", scaling};
}

}  // namespace

Rope read_hf_rope(const json& config, float theta) {
  const std::optional<float> outer = find_theta(config);
  Rope rope{.theta = outer.value_or(theta)};
  const Given given = find_parameters(config);
  if (given.parameters != nullptr) {
    rope = with_context(given.name, [&] {
      return read_parameters(same_for_all_layers(as_object(*given.parameters)),
                             find_int(config, "max_position_embeddings", 1, 1 << 27, 0), outer,
                             rope);
    });
  }
  if (rope.theta == 0) fail(ErrorCode::kInvalidData, "rope_theta: missing");
  return rope;
}

HfRopes read_hf_ropes(const json& config) {
  const std::optional<float> full = find_theta(config);
  const std::optional<float> sliding = find_theta(config, "rope_local_base_freq");
  HfRopes ropes{.full = {.theta = full.value_or(1e6f)},
                .sliding = {.theta = sliding.value_or(1e4f)}};
  const Given given = find_parameters(config);
  if (given.parameters == nullptr) return ropes;
  return with_context(given.name, [&] {
    const auto read = [&](const char* type, const std::optional<float>& theta, const Rope& rope) {
      const json* parameters = find(as_object(*given.parameters), type);
      if (parameters == nullptr) fail(ErrorCode::kInvalidData, "{}: missing", type);
      return with_context(type, [&] {
        if (const std::string name = rope_type(as_object(*parameters)); name != "default") {
          fail(ErrorCode::kUnsupported, "rope_type '{}' unsupported (known: default)", name);
        }
        return read_parameters(*parameters, 0, theta, rope);
      });
    };
    return HfRopes{read("full_attention", full, ropes.full),
                   read("sliding_attention", sliding, ropes.sliding)};
  });
}

}  // namespace st

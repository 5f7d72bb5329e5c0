#include "convert/hf_config.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "convert/hf_family.h"
#include "format/json_object.h"

namespace st {
namespace {

using nlohmann::json;

constexpr const HfFamily* kFamilies[] = {&kHfSmallThinker, &kHfQwen3, &kHfQwen3Moe, &kHfGemma3n};

// The class says more than the type: it names what is made of the layers. SmallThinker's 21B has
// no type, others may have no class.
const HfFamily& find_family(const json& config) {
  std::string name;
  if (const json* names = find(config, "architectures");
      names != nullptr && names->is_array() && !names->empty() && (*names)[0].is_string()) {
    name = (*names)[0].get<std::string>();
  }
  const std::string type = find_string(config, "model_type", "");
  std::string known;
  for (const HfFamily* family : kFamilies) {
    if (std::ranges::find(family->classes, name) != family->classes.end()) return *family;
    for (const std::string_view one : family->classes) {
      known += (known.empty() ? "" : ", ") + std::string(one);
    }
  }
  for (const HfFamily* family : kFamilies) {
    if (std::ranges::find(family->types, type) != family->types.end()) return *family;
  }
  fail(ErrorCode::kUnsupported, "architecture '{}' unsupported (known: {})",
       printable(name.empty() ? type : name), known);
}

}  // namespace

ModelConfig read_model(const json& config, int64_t head_dim) {
  ModelConfig c;
  c.layers = get_int(config, "num_hidden_layers", 1, 512);
  c.hidden = get_int(config, "hidden_size", 1, 1 << 16);
  c.heads = get_int(config, "num_attention_heads", 1, 1024);
  c.kv_heads = find_int(config, "num_key_value_heads", 1, 1024, c.heads);
  c.head_dim = find_int(config, "head_dim", 2, 1024, head_dim > 0 ? head_dim : c.hidden / c.heads);
  c.vocab = get_int(config, "vocab_size", 1, 1 << 24);
  c.rms_eps = static_cast<float>(find_number(config, "rms_norm_eps", 0, 1, 1e-6));
  return c;
}

std::optional<std::vector<bool>> read_layer_types(const json& config, int64_t layers) {
  const json* types = find(config, "layer_types");
  if (types == nullptr) return std::nullopt;
  if (!types->is_array() || types->size() != static_cast<size_t>(layers)) {
    fail(ErrorCode::kInvalidData, "layer_types: want a list of {} layers, got {}", layers,
         show_json(*types));
  }
  std::vector<bool> slides;
  for (const json& type : *types) {
    slides.push_back(type == "sliding_attention");
    if (!slides.back() && type != "full_attention") {
      fail(ErrorCode::kUnsupported,
           "layer_types: {} unsupported, want \"full_attention\" or \"sliding_attention\"",
           show_json(type));
    }
  }
  return slides;
}

void add_key(std::string_view suffix, GgufValue value, HfConfig& hf) {
  hf.keys.push_back({fmt::format("{}.{}", hf.family->architecture, suffix), std::move(value)});
}

void add_window_keys(int64_t window, HfConfig& hf) {
  std::vector<bool> slides;
  for (const LayerConfig& layer : hf.model.layer) slides.push_back(layer.window > 0);
  add_key("attention.sliding_window", GgufValue::u32(static_cast<uint32_t>(window)), hf);
  add_key("attention.sliding_window_pattern", GgufValue::array(GgufArray::of(slides)), hf);
}

HfConfig parse_hf_config(std::string_view text) {
  const json config = parse_json_object(text);
  HfConfig hf;
  hf.family = &find_family(config);
  hf.family->read(config, hf);
  hf.model.architecture = hf.family->architecture;
  hf.model.name = find_string(config, "model_name", hf.family->architecture);
  check_config(hf.model, "");
  return hf;
}

}  // namespace st

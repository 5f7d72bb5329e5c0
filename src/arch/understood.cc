#include "arch/understood.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/error.h"

namespace st {
namespace {

// With this value a key says what holds without it.
struct Neutral {
  std::string_view suffix;
  double value;
};

// Where 0 means none, the value it stands for comes first.
constexpr Neutral kNeutral[] = {
    {"attention.causal", 1},
    {"attention.clamp_kqv", 0},
    {"attention.max_alibi_bias", 0},
    {"attn_logit_softcapping", 0},
    {"embedding_scale", 1},
    {"embedding_scale", 0},
    {"expert_group_count", 1},
    {"expert_group_count", 0},
    {"expert_group_used_count", 1},
    {"expert_group_used_count", 0},
    {"expert_shared_count", 0},
    {"expert_shared_feed_forward_length", 0},
    {"expert_weights_norm", 1},
    {"expert_weights_scale", 1},
    {"expert_weights_scale", 0},
    {"final_logit_softcapping", 0},
    {"leading_dense_block_count", 0},
    {"logit_scale", 1},
    {"logit_scale", 0},
    {"nextn_predict_layers", 0},
    {"pooling_type", 0},
    {"residual_scale", 1},
    {"residual_scale", 0},
    {"rope.scaling.attn_factor", 1},
    {"router_logit_softcapping", 0},
    {"use_parallel_residual", 0},
};

std::optional<double> number(const GgufValue& value) {
  if (const auto* u = std::get_if<uint64_t>(&value.value)) return static_cast<double>(*u);
  if (const auto* i = std::get_if<int64_t>(&value.value)) return static_cast<double>(*i);
  if (const auto* b = std::get_if<bool>(&value.value)) return *b ? 1 : 0;
  if (const auto* d = std::get_if<double>(&value.value)) return *d;
  return std::nullopt;
}

// `value` may be that of an f32.
bool is(const GgufValue& value, double want) {
  const auto got = number(value);
  return got && static_cast<float>(*got) == static_cast<float>(want);
}

// Keys that nobody looked for are the business of whoever wrote them, or the vocabulary's, which
// has judged its own; but not those of this architecture or this program, nor of an adapter.
bool may_change_results(std::string_view key, const std::string& architecture) {
  return key.starts_with(architecture + ".") || key.starts_with("smallthinker.") ||
         key.starts_with("adapter.") || key.starts_with("split.");
}

void check_general(const GgufFile& file) {
  const std::string* type = file.find_string("general.type");
  if (type != nullptr && *type != "model") {
    fail(ErrorCode::kUnsupported, "key general.type '{}': want 'model'", printable(*type));
  }
  if (const auto version = file.find_u32("general.quantization_version");
      version && *version != 2) {
    fail(ErrorCode::kUnsupported, "key general.quantization_version {}: want 2", *version);
  }
}

}  // namespace

void check_neutral_keys(const GgufFile& file, const ModelConfig& c) {
  const std::string prefix = c.architecture + ".";
  const std::vector<const GgufEntry*> unread = file.unread_entries();
  // Its value, if nobody has looked at it; somebody has now.
  const auto unread_value = [&](const std::string& key) -> const GgufValue* {
    return std::ranges::find(unread, key, &GgufEntry::key) == unread.end() ? nullptr
                                                                           : file.find(key);
  };
  for (const Neutral& neutral : kNeutral) {
    const std::string key = fmt::format("{}{}", prefix, neutral.suffix);
    const GgufValue* value = unread_value(key);
    if (value == nullptr) continue;
    const bool known = std::ranges::any_of(kNeutral, [&](const Neutral& other) {
      return other.suffix == neutral.suffix && is(*value, other.value);
    });
    if (!known) {
      fail(ErrorCode::kUnsupported, "key {} {} unsupported, want {}", key, printable(*value),
           neutral.value);
    }
  }
  const auto rotates = [](const LayerConfig& layer) { return layer.rope.theta > 0; };
  const auto rotating = std::ranges::find_if(c.layer, rotates);
  const std::pair<std::string_view, double> implied[] = {
      {"attention.key_length_swa", c.head_dim},
      {"attention.scale", 1 / c.score_divisor()},
      {"attention.value_length", c.head_dim},
      {"attention.value_length_swa", c.head_dim},
      {"rope.dimension_count", c.head_dim},
      {"rope.dimension_count_swa", c.head_dim},
      {"rope.freq_base_swa", rotating == c.layer.end() ? 0 : rotating->rope.theta},
      {"vocab_size", c.vocab},
  };
  for (const auto& [suffix, want] : implied) {
    const std::string key = fmt::format("{}{}", prefix, suffix);
    const GgufValue* value = unread_value(key);
    if (value != nullptr && !is(*value, want)) {
      fail(ErrorCode::kUnsupported, "key {} {} unsupported, want {}", key, printable(*value),
           static_cast<float>(want));
    }
  }
}

void refuse_unread_tensors(const GgufModel& model) {
  for (size_t i = 0; i < model.parts().size(); ++i) {
    const auto unread = model.parts()[i]->unread_tensors();
    if (unread.empty()) continue;
    const Error error(ErrorCode::kUnsupported,
                      fmt::format("tensor '{}': not part of this architecture as we know it, "
                                  "results would be wrong without it",
                                  printable(unread.front()->name)));
    throw i == 0 ? error : error.within(model.part_name(i));
  }
}

std::vector<std::string> refuse_unread_keys(const GgufFile& file) {
  check_general(file);
  const std::string* architecture = file.find_string("general.architecture");
  std::vector<std::string> ignored;
  for (const GgufEntry* entry : file.unread_entries()) {
    if (may_change_results(entry->key, *architecture)) {
      fail(ErrorCode::kUnsupported, "key {} {}: not understood, results could be wrong",
           printable(entry->key), printable(entry->value));
    }
    ignored.push_back(entry->key);
  }
  return ignored;
}

}  // namespace st

#include "convert/quant_mix.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "arch/names.h"
#include "format/tensor_layer.h"

namespace st {

enum class Layers {
  kAll,
  kFirst,       // n of them
  kFirstShare,  // one in n
  kMoreBits,    // the first and last eighth, and every third between
};
enum class When { kAlways, kSharedKeys, kEightExperts, kImportance, kNoImportance };

// Matrices with `part` in their names have `type` in these layers.
struct MixRule {
  std::string_view part;
  DType type;
  Layers layers = Layers::kAll;
  int64_t n = 0;
  When when = When::kAlways;
};

namespace {

using enum DType;
using enum Layers;
using enum When;

constexpr std::string_view kValue = "attn_v.weight";
constexpr std::string_view kKey = "attn_k.weight";
constexpr std::string_view kOut = "attn_output.weight";
constexpr std::string_view kDown = "ffn_down";

// Of every mix.
constexpr MixRule kCommon[] = {{kValue, kQ8_0, kAll, 0, kEightExperts},
                               {kKey, kQ8_0, kAll, 0, kEightExperts}};

// Of each mix; the first rule that holds counts.
constexpr MixRule kOfQ4_0[] = {{kDown, kQ4_1, kFirstShare, 8, kImportance}};
constexpr MixRule kOfQ5_0[] = {{kDown, kQ5_1, kFirstShare, 8, kImportance}};
constexpr MixRule kOfQ2_K[] = {{kValue, kQ4_K, kAll, 0, kSharedKeys},
                               {kValue, kQ3_K},
                               {kDown, kQ3_K},
                               {kOut, kQ5_K, kAll, 0, kEightExperts},
                               {kOut, kQ3_K}};
constexpr MixRule kOfQ3_K_M[] = {{kValue, kQ5_K, kFirst, 2},
                                 {kValue, kQ4_K},
                                 {kDown, kQ5_K, kFirstShare, 16},
                                 {kDown, kQ4_K},
                                 {kOut, kQ5_K, kAll, 0, kEightExperts},
                                 {kOut, kQ4_K}};
constexpr MixRule kOfQ4_K_S[] = {{kValue, kQ5_K, kFirst, 4},
                                 {kDown, kQ5_K, kFirstShare, 8},
                                 {kOut, kQ5_K, kAll, 0, kEightExperts}};
constexpr MixRule kOfQ4_K_M[] = {
    {kValue, kQ6_K, kMoreBits}, {kDown, kQ6_K, kMoreBits}, {kOut, kQ5_K, kAll, 0, kEightExperts}};
constexpr MixRule kOfQ5_K_M[] = {{kValue, kQ6_K, kMoreBits}, {kDown, kQ6_K, kMoreBits}};
constexpr MixRule kOfIQ4[] = {{kValue, kQ5_K, kAll, 0, kSharedKeys},
                              {kDown, kQ5_K, kFirstShare, 8, kNoImportance},
                              {kOut, kQ5_K, kAll, 0, kEightExperts}};
constexpr MixRule kOfMXFP4_MOE[] = {{"_exps", kMXFP4}, {"", kQ8_0}};

constexpr QuantMix kMixes[] = {
    {"F32", 0, kF32, kF32, {}},
    {"F16", 1, kF16, kF16, {}},
    {"BF16", 32, kBF16, kBF16, {}},
    {"Q8_0", 7, kQ8_0, kQ8_0, {}},
    {"Q6_K", 18, kQ6_K, kQ6_K, {}},
    {"Q5_K_M", 17, kQ5_K, kQ6_K, kOfQ5_K_M},
    {"Q5_K_S", 16, kQ5_K, kQ6_K, {}},
    {"Q5_1", 9, kQ5_1, kQ6_K, {}},
    {"Q5_0", 8, kQ5_0, kQ6_K, kOfQ5_0},
    {"Q4_K_M", 15, kQ4_K, kQ6_K, kOfQ4_K_M},
    {"Q4_K_S", 14, kQ4_K, kQ6_K, kOfQ4_K_S},
    {"Q4_1", 3, kQ4_1, kQ6_K, {}},
    {"Q4_0", 2, kQ4_0, kQ6_K, kOfQ4_0},
    {"IQ4_NL", 25, kIQ4_NL, kQ6_K, kOfIQ4},
    {"IQ4_XS", 30, kIQ4_XS, kQ6_K, kOfIQ4},
    {"MXFP4_MOE", 38, kMXFP4, kQ8_0, kOfMXFP4_MOE},
    {"Q3_K_M", 12, kQ3_K, kQ6_K, kOfQ3_K_M},
    {"Q2_K", 10, kQ2_K, kQ6_K, kOfQ2_K},
};

bool is_quantized(DType type) { return dtype_info(type).block_values > 1; }

// A number, or the first of one for each layer.
int64_t number_or(const GgufFile& file, const std::string& key, int64_t otherwise) {
  const GgufValue* value = file.find(key);
  if (value == nullptr) return otherwise;
  if (value->type != GgufType::kArray) return file.get_u32(key);
  const GgufArray& numbers = *file.find_integers(key);
  return numbers.count > 0 ? numbers.integer(0) : otherwise;
}

// Layer i of n.
bool is_among(Layers layers, int64_t count, int64_t i, int64_t n) {
  switch (layers) {
    case kAll:
      return true;
    case kFirst:
      return i < count;
    case kFirstShare:
      return i < n / count;
    case kMoreBits:
      return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
  }
  return false;
}

bool holds(When when, const MixFacts& facts) {
  switch (when) {
    case kAlways:
      return true;
    case kSharedKeys:
      return facts.queries_per_key >= 4;
    case kEightExperts:
      return facts.experts == 8;
    case kImportance:
      return facts.importance;
    case kNoImportance:
      return !facts.importance;
  }
  return false;
}

bool applies(const MixRule& rule, const MixFacts& facts, std::string_view tensor) {
  if (tensor.find(rule.part) == tensor.npos || !holds(rule.when, facts)) return false;
  const auto layer = layer_of(tensor);
  if (!layer) return rule.layers == kAll;
  if (rule.part != kValue) return is_among(rule.layers, rule.n, *layer, facts.layers);
  const auto& values = facts.value_layers;
  return is_among(rule.layers, rule.n, std::ranges::lower_bound(values, *layer) - values.begin(),
                  std::ssize(values));
}

}  // namespace

const QuantMix* find_quant_mix(std::string_view name) {
  std::string upper(name);
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (upper == "Q3_K" || upper == "Q4_K" || upper == "Q5_K") upper += "_M";
  const auto mix = std::ranges::find(kMixes, upper, &QuantMix::name);
  return mix == std::end(kMixes) ? nullptr : mix;
}

std::string quant_mix_names() {
  std::string names;
  for (const QuantMix& mix : kMixes) {
    const bool last = &mix == std::end(kMixes) - 1;
    names += fmt::format("{}{}", names.empty() ? "" : last ? " or " : ", ", mix.name);
  }
  return names;
}

uint32_t gguf_file_type(DType type) {
  // The last one: where there are two, that is the one nearer to a single type.
  uint32_t file_type = 1;
  for (const QuantMix& mix : kMixes) {
    if (mix.type == type) file_type = mix.file_type;
  }
  return file_type;
}

void MixFacts::add(std::string_view tensor) {
  if (tensor == names::kOutput) tied = false;
  const auto layer = layer_of(tensor);
  if (!layer || tensor.find(kValue) == tensor.npos) return;
  value_layers.insert(std::ranges::upper_bound(value_layers, *layer), *layer);
}

MixFacts mix_facts(const GgufFile& metadata, const std::vector<GgufModel::Tensor>& tensors) {
  MixFacts facts;
  if (const std::string* architecture = metadata.find_string("general.architecture")) {
    facts.layers = number_or(metadata, *architecture + ".block_count", 0);
    facts.experts = number_or(metadata, *architecture + ".expert_count", 0);
    const int64_t heads = number_or(metadata, *architecture + ".attention.head_count", 1);
    const int64_t keys = number_or(metadata, *architecture + ".attention.head_count_kv", heads);
    if (keys > 0) facts.queries_per_key = heads / keys;
  }
  for (const GgufModel::Tensor& tensor : tensors) facts.add(tensor.info->name);
  return facts;
}

bool is_embedding(std::string_view tensor) {
  return tensor == names::kEmbedding || tensor == names::kPerLayerEmbedding;
}

DType mixed_type(const QuantMix& mix, const MixFacts& facts, std::string_view tensor,
                 uint64_t cols) {
  if (tensor == names::kOutput || (facts.tied && is_embedding(tensor))) {
    const bool whole = cols % dtype_info(mix.type).block_values == 0;
    return whole || !is_quantized(mix.type) ? mix.head : kQ8_0;
  }
  if (!is_quantized(mix.type)) return mix.type;
  for (const auto rules : {std::span<const MixRule>(kCommon), mix.rules}) {
    for (const MixRule& rule : rules) {
      if (applies(rule, facts, tensor)) return rule.type;
    }
  }
  return mix.type;
}

DType type_for_row(DType want, uint64_t cols) {
  constexpr std::pair<DType, DType> kSubstitutes[] = {{kQ2_K, kQ4_0}, {kQ3_K, kQ4_0},
                                                      {kQ4_K, kQ5_0}, {kQ5_K, kQ5_1},
                                                      {kQ6_K, kQ8_0}, {kIQ4_XS, kIQ4_NL}};
  const auto fits = [&](DType type) { return cols % dtype_info(type).block_values == 0; };
  if (fits(want)) return want;
  const auto other = std::ranges::find(kSubstitutes, want, &std::pair<DType, DType>::first);
  return other != std::end(kSubstitutes) && fits(other->second) ? other->second : kF16;
}

}  // namespace st

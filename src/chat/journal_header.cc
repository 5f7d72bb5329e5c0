#include "chat/journal_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/checksum.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_keys.h"
#include "engine/fingerprint.h"

namespace st {
namespace {

constexpr size_t kMostText = 256;  // bytes
constexpr int64_t kMostHeads = 1 << 16, kMostLayers = 1 << 16, kMostWindows = 64,
                  kMostIds = 1 << 27;

constexpr KnownKey kKeys[] = {{"model"},      {"fingerprint"}, {"vocabulary"}, {"template"},
                              {"kernels"},    {"cache_type"},  {"kv_heads"},   {"head_dim"},
                              {"vocab_size"}, {"windows"}};
constexpr KnownKey kWindowKeys[] = {{"window"}, {"layers"}};

std::string hex(uint64_t sum) { return fmt::format("{:016x}", sum); }

std::string get_text(const nlohmann::json& object, std::string_view key) {
  std::string text = find_string(object, key, "");
  if (text.empty() || text.size() > kMostText) {
    fail(ErrorCode::kInvalidData, "{}: want 1..{} bytes, got {}", key, kMostText, text.size());
  }
  return text;
}

KvPool::TileGroup parse_group(const nlohmann::json& object, const KvTile& tile, int64_t kv_heads) {
  check_keys(object, kWindowKeys);
  KvPool::TileGroup group{.window = get_int(object, "window", 0, INT64_MAX),
                          .layers = get_int(object, "layers", 1, kMostLayers),
                          .bytes = 0};
  group.bytes = static_cast<uint64_t>(group.layers * kv_heads * tile.bytes());
  return group;
}

}  // namespace

JournalHeader header_of(Engine& engine, std::string_view template_source) {
  JournalHeader header;
  const ModelConfig& config = engine.config();
  header.model = printable(config.name.empty() ? config.architecture : config.name);
  header.fingerprint = hex(fingerprint(engine.model()));
  header.vocabulary = hex(fingerprint(engine.tokenizer()));
  header.chat_template = hex(checksum(std::as_bytes(std::span(template_source))));
  header.kernels = engine.kernels();
  header.type = engine.cache_type();
  header.kv_heads = config.kv_heads;
  header.head_dim = config.head_dim;
  header.vocab = config.vocab;
  header.groups = engine.cache().tile_groups();
  return header;
}

std::string format_header(const JournalHeader& header) {
  nlohmann::ordered_json json = {
      {"model", header.model},           {"fingerprint", header.fingerprint},
      {"vocabulary", header.vocabulary}, {"template", header.chat_template},
      {"kernels", header.kernels},       {"cache_type", kv_type_name(header.type)},
      {"kv_heads", header.kv_heads},     {"head_dim", header.head_dim},
      {"vocab_size", header.vocab}};
  for (const KvPool::TileGroup& group : header.groups) {
    json["windows"].push_back({{"window", group.window}, {"layers", group.layers}});
  }
  return json.dump();
}

JournalHeader parse_header(std::string_view text) {
  const nlohmann::json json = parse_json(text);
  if (!json.is_object()) fail(ErrorCode::kInvalidData, "want a JSON object");
  check_keys(json, kKeys);
  JournalHeader header;
  header.model = get_text(json, "model");
  header.fingerprint = get_text(json, "fingerprint");
  header.vocabulary = get_text(json, "vocabulary");
  header.chat_template = get_text(json, "template");
  header.kernels = get_text(json, "kernels");
  const std::string type = get_text(json, "cache_type");
  const auto known = parse_kv_type(type);
  if (!known)
    fail(ErrorCode::kInvalidData, "cache_type: '{}': want f32, i16 or i8", printable(type));
  header.type = *known;
  header.kv_heads = get_int(json, "kv_heads", 1, kMostHeads);
  header.head_dim = get_int(json, "head_dim", 1, kMostHeads);
  header.vocab = get_int(json, "vocab_size", 1, kMostIds);
  const nlohmann::json* windows = find(json, "windows");
  if (windows == nullptr || !windows->is_array() || windows->empty() ||
      std::ssize(*windows) > kMostWindows) {
    fail(ErrorCode::kInvalidData, "windows: want a list of 1..{}", kMostWindows);
  }
  for (const nlohmann::json& group : *windows) {
    header.groups.push_back(parse_group(group, {header.type, header.head_dim}, header.kv_heads));
  }
  return header;
}

std::string difference(const JournalHeader& file, const JournalHeader& engine) {
  if (file.fingerprint != engine.fingerprint) {
    return fmt::format("of another model, '{}'", printable(file.model));
  }
  if (file.vocabulary != engine.vocabulary) return "of another vocabulary";
  if (file.type != engine.type) {
    return fmt::format("of type {}, not {}", kv_type_name(file.type), kv_type_name(engine.type));
  }
  const bool alike = file.kv_heads == engine.kv_heads && file.head_dim == engine.head_dim &&
                     file.vocab == engine.vocab && file.groups == engine.groups;
  return alike ? "" : "of other layers";
}

}  // namespace st

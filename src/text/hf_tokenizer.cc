#include "text/hf_tokenizer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/json.h"
#include "base/json_keys.h"
#include "format/json_object.h"
#include "text/hf_sentencepiece.h"
#include "text/pretokenize.h"

namespace st {
namespace {

using nlohmann::json;

constexpr size_t kMaxEntries = size_t{1} << 20;  // of the vocabulary, and merges; Qwen's: 151,643

// Truncation and padding are what a batch is brought to, where that is asked for.
constexpr KnownKey kTokenizerKeys[] = {{"version"},       {"added_tokens"}, {"normalizer"},
                                       {"pre_tokenizer"}, {"decoder"},      {"post_processor"},
                                       {"model"},         {"truncation"},   {"padding"}};
// No byte is unknown, so the two keys of the unknown token change nothing.
constexpr KnownKey kModelKeys[] = {{"type"},
                                   {"vocab"},
                                   {"merges"},
                                   {"dropout"},
                                   {"byte_fallback"},
                                   {"ignore_merges"},
                                   {"continuing_subword_prefix"},
                                   {"end_of_word_suffix"},
                                   {"unk_token"},
                                   {"fuse_unk"}};
constexpr KnownKey kSplitKeys[] = {{"type"}, {"pattern"}, {"behavior"}, {"invert"}};
constexpr KnownKey kBytesKeys[] = {
    {"type"}, {"add_prefix_space"}, {"use_regex"}, {"trim_offsets"}};  // offsets are not told
constexpr KnownKey kNormalizerKeys[] = {{"type"}};
constexpr KnownKey kSequenceKeys[] = {{"type"}, {"pretokenizers"}};
constexpr KnownKey kPatternKeys[] = {{"Regex"}};
constexpr KnownKey kAddedTokenKeys[] = {{"id"},     {"content"}, {"special"},   {"single_word"},
                                        {"lstrip"}, {"rstrip"},  {"normalized"}};

// Of tokenizer_config.json: switches of training, of classes and of what decoded text looks like.
constexpr std::string_view kHarmlessSwitches[] = {
    "add_bos_token",  // read by hf_vocab.cc
    "clean_up_tokenization_spaces",
    "is_local",
    "legacy",
    "local_files_only",
    "return_token_type_ids",
    "spaces_between_special_tokens",
    "trust_remote_code",
    "use_default_system_prompt",
    "use_fast",
};

std::string type_of(const json* part) {
  return part == nullptr ? "null" : find_string(*part, "type", "");
}

// Fails unless `part` of the tokenizer has one of these types; returns which.
std::string check_type(std::string_view name, const json* part,
                       std::initializer_list<std::string_view> known) {
  std::string type = with_context(name, [&] { return type_of(part); });
  if (std::ranges::count(known, type) == 0) {
    fail(ErrorCode::kUnsupported, "{}: type '{}' is not supported", name, printable(type));
  }
  return type;
}

void check_false(const json& object, std::string_view key, bool if_absent) {
  if (find_bool(object, key, if_absent)) {
    fail(ErrorCode::kUnsupported, "{} is not supported", key);
  }
}

void check_keys_of(std::string_view name, const json* part, std::span<const KnownKey> known) {
  if (part == nullptr) return;
  with_context(name, [&] { check_keys(*part, known); });
}

// Exactly Sequence[Split(Qwen2's pattern), ByteLevel].
void check_pre_tokenizer(const json* part) {
  check_type("pre_tokenizer", part, {"Sequence"});
  const json* steps = find(*part, "pretokenizers");
  if (steps == nullptr || !steps->is_array() || steps->size() != 2) {
    fail(ErrorCode::kUnsupported, "pre_tokenizer: want a sequence of Split and ByteLevel");
  }
  const json& split = (*steps)[0];
  const json& bytes = (*steps)[1];
  check_type("pre_tokenizer[0]", &split, {"Split"});
  check_type("pre_tokenizer[1]", &bytes, {"ByteLevel"});
  const json* pattern = find(split, "pattern");
  const std::string regex = pattern == nullptr ? "" : find_string(*pattern, "Regex", "");
  if (regex != kQwen2Pattern) {
    fail(ErrorCode::kUnsupported, "pre_tokenizer: unknown pattern '{}'", printable(regex));
  }
  if (const std::string behavior = find_string(split, "behavior", ""); behavior != "Isolated") {
    fail(ErrorCode::kUnsupported, "pre_tokenizer: behavior '{}' is not supported",
         printable(behavior));
  }
  with_context("pre_tokenizer", [&] {
    check_false(split, "invert", false);
    check_false(bytes, "add_prefix_space", true);
    check_false(bytes, "use_regex", true);
    check_keys(*part, kSequenceKeys);
    check_keys(*pattern, kPatternKeys);
    check_keys(split, kSplitKeys);
    check_keys(bytes, kBytesKeys);
  });
}

// Returns whether it is of SentencePiece's kind.
bool check_model(const json* model) {
  check_type("model", model, {"BPE"});
  return with_context("model", [&] {
    check_false(*model, "ignore_merges", false);
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (const std::string affix = find_string(*model, key, ""); !affix.empty()) {
        fail(ErrorCode::kUnsupported, "{} '{}' is not supported", key, printable(affix));
      }
    }
    if (find_number(*model, "dropout", 0, 1, 0) != 0) {
      fail(ErrorCode::kUnsupported, "dropout is not supported");
    }
    check_keys(*model, kModelKeys);
    return find_bool(*model, "byte_fallback", false);
  });
}

void check_byte_level_parts(const json& tokenizer) {
  check_pre_tokenizer(find(tokenizer, "pre_tokenizer"));
  for (const char* part : {"post_processor", "decoder"}) {
    check_type(part, find(tokenizer, part), {"ByteLevel", "null"});
    check_keys_of(part, find(tokenizer, part), kBytesKeys);
  }
  check_keys_of("normalizer", find(tokenizer, "normalizer"), kNormalizerKeys);
}

int64_t any_int(const json& object, std::string_view key) {
  return get_int(object, key, INT64_MIN, INT64_MAX);
}

int64_t parse_id(std::string_view text) {
  int64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size()) {
    fail(ErrorCode::kInvalidData, "want a number");
  }
  return id;
}

bool looks_special(std::string_view text) {
  return text.size() >= 4 && text.starts_with("<|") && text.ends_with("|>");
}

// "normalized" may be true or false: NFC leaves the names of added tokens alone, so it only matters
// if a combining mark follows one in the text. `again`: the token may have been told already.
void add_token(const json& token, int64_t id, bool again, TokenTable& table) {
  const std::string text = find_string(token, "content", "");
  if (text.empty()) fail(ErrorCode::kInvalidData, "content: missing or empty");
  for (const char* key : {"single_word", "lstrip", "rstrip"}) check_false(token, key, false);
  check_keys(token, kAddedTokenKeys);
  const bool special = find_bool(token, "special", false) || looks_special(text);
  if (again && table.has(id, text)) return;
  table.add(id, text, special ? TokenType::kControl : TokenType::kUserDefined);
}

void read_added_tokens(const json& tokenizer, TokenTable& table) {
  const json* tokens = find(tokenizer, "added_tokens");
  if (tokens == nullptr) return;
  if (!tokens->is_array()) fail(ErrorCode::kInvalidData, "added_tokens: want an array");
  for (size_t i = 0; i < tokens->size(); ++i) {
    with_context(fmt::format("added_tokens[{}]", i), [&] {
      const json& token = (*tokens)[i];
      add_token(token, any_int(token, "id"), false, table);
    });
  }
}

// "left right", or [left, right] since tokenizers 0.20.
std::string merge_text(const json& merge) {
  if (merge.is_string()) return merge.get<std::string>();
  const bool is_pair =
      merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string();
  if (!is_pair) fail(ErrorCode::kInvalidData, "want a string or a pair of strings");
  return merge[0].get<std::string>() + ' ' + merge[1].get<std::string>();
}

// What a tokenizer.json has many of. The first thing wrong with one is told after what is wrong
// with the kind of tokenizer, which may be the cause.
struct Lists {
  std::vector<std::pair<std::string, int64_t>> vocab;
  std::vector<std::string> merges;
  std::optional<Error> wrong;

  template <typename Body>
  void take(const Body& body) {
    if (wrong) return;
    try {
      body();
    } catch (const Error& e) {
      wrong = e;
    }
  }

  void take_token(const std::string& text, const json& id) {
    take([&] {
      if (vocab.size() == kMaxEntries) {
        fail(ErrorCode::kInvalidData, "model: vocab: more than {} tokens", kMaxEntries);
      }
      vocab.emplace_back(text, with_context(fmt::format("vocab '{}'", printable(text)), [&] {
                           return as_int(id, "id", INT64_MIN, INT64_MAX);
                         }));
    });
  }

  void take_merge(const json& merge) {
    take([&] {
      if (merges.size() == kMaxEntries) {
        fail(ErrorCode::kInvalidData, "model: merges: more than {}", kMaxEntries);
      }
      with_context(fmt::format("merges[{}]", merges.size()),
                   [&] { merges.push_back(merge_text(merge)); });
    });
  }
};

void add_base_tokens(const Lists& lists, TokenTable& table) {
  for (const auto& [text, id] : lists.vocab) {
    if (table.has(id, text)) {
      fail(ErrorCode::kInvalidData, "model: vocab: duplicate key '{}'", printable(text));
    }
    try {
      table.add(id, text, TokenType::kNormal);
    } catch (const Error& e) {
      throw e.within(fmt::format("vocab '{}'", printable(text)));
    }
  }
}

}  // namespace

void read_hf_tokenizer(std::string_view text, TokenTable& table, Vocab& vocab) {
  Lists lists;
  const std::array<JsonStream, 2> streams = {
      {{"model", "vocab",
        [&](const std::string& key, const json& id) { lists.take_token(key, id); }},
       {"model", "merges",
        [&](const std::string&, const json& merge) { lists.take_merge(merge); }}}};
  const json tokenizer = parse_json_object(text, streams);

  const json* model = find(tokenizer, "model");
  const bool sentencepiece = check_model(model);
  if (!sentencepiece) {
    vocab.nfc = check_type("normalizer", find(tokenizer, "normalizer"), {"NFC", "null"}) == "NFC";
    check_byte_level_parts(tokenizer);
  }
  const json* tokens = find(*model, "vocab");
  if (tokens == nullptr || !tokens->is_object()) {
    fail(ErrorCode::kInvalidData, "model: vocab: want an object");
  }
  const json* merges = find(*model, "merges");
  if (merges == nullptr || !merges->is_array()) {
    fail(ErrorCode::kInvalidData, "model: merges: want an array");
  }
  check_keys(tokenizer, kTokenizerKeys);
  if (lists.wrong) throw *lists.wrong;

  add_base_tokens(lists, table);
  read_added_tokens(tokenizer, table);
  if (sentencepiece) read_sentencepiece_parts(tokenizer, vocab);
  vocab.merges = std::move(lists.merges);
}

void read_hf_tokenizer_config(const json& config, TokenTable& table) {
  for (const char* key :
       {"add_eos_token", "add_prefix_space", "do_lower_case", "split_special_tokens"}) {
    check_false(config, key, false);
  }
  for (const auto& [name, value] : config.items()) {
    if (value != true || std::ranges::count(kHarmlessSwitches, name) > 0) continue;
    fail(ErrorCode::kUnsupported,
         "{} true unsupported: the key is unknown and may change tokens; remove it from the file "
         "if it does not",
         printable(name));
  }
  const json* added = find(config, "added_tokens_decoder");
  if (added == nullptr) return;
  with_context("added_tokens_decoder", [&] {
    if (!added->is_object()) fail(ErrorCode::kInvalidData, "want an object");
    for (const auto& [id, token] : added->items()) {
      with_context(fmt::format("'{}'", printable(id)), [&, &text = id, &value = token] {
        add_token(value, parse_id(text), true, table);
      });
    }
  });
}

}  // namespace st

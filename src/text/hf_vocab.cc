#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "text/pretokenize.h"
#include "text/vocab.h"

namespace st {
namespace {

using nlohmann::json;

constexpr int64_t kMaxTokens = int64_t{1} << 24;
constexpr uint64_t kMaxFileBytes = uint64_t{64} << 20;

std::string type_of(const json* part) {
  return part == nullptr ? "null" : find_string(*part, "type", "");
}

// Fails unless `part` of the tokenizer has one of these types; returns which.
std::string check_type(std::string_view name, const json* part,
                       std::initializer_list<std::string_view> known) {
  std::string type = type_of(part);
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
  });
}

void check_model(const json* model) {
  check_type("model", model, {"BPE"});
  with_context("model", [&] {
    for (const char* key : {"byte_fallback", "ignore_merges"}) check_false(*model, key, false);
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (const std::string affix = find_string(*model, key, ""); !affix.empty()) {
        fail(ErrorCode::kUnsupported, "{} '{}' is not supported", key, printable(affix));
      }
    }
    if (find_number(*model, "dropout", 0, 1, 0) != 0) {
      fail(ErrorCode::kUnsupported, "dropout is not supported");
    }
  });
}

// Tokens by id, in any order, up to a number of rows.
class TokenTable {
 public:
  TokenTable(Vocab& vocab, int64_t vocab_size) : vocab_(vocab), vocab_size_(vocab_size) {}

  void add(int64_t id, const std::string& text, TokenType type) {
    if (id < 0) fail(ErrorCode::kInvalidData, "id {} < 0", id);
    if (id >= kMaxTokens) fail(ErrorCode::kInvalidData, "id {} >= 2^24", id);
    if (vocab_size_ > 0 && id >= vocab_size_) {
      fail(ErrorCode::kInvalidData, "id {} >= vocab_size {}", id, vocab_size_);
    }
    const auto i = static_cast<size_t>(id);
    if (i >= vocab_.tokens.size()) resize(i + 1);
    if (vocab_.types[i] != TokenType::kUnused && vocab_.tokens[i] != text) {
      fail(ErrorCode::kInvalidData, "id {} is already '{}'", id, printable(vocab_.tokens[i]));
    }
    vocab_.tokens[i] = text;
    vocab_.types[i] = type;
  }

  void pad() {
    if (vocab_size_ > 0) resize(static_cast<size_t>(vocab_size_));
    for (size_t i = 0; i < vocab_.tokens.size(); ++i) {
      if (vocab_.types[i] == TokenType::kUnused) vocab_.tokens[i] = fmt::format("[PAD{}]", i);
    }
  }

 private:
  void resize(size_t rows) {
    vocab_.tokens.resize(rows);
    vocab_.types.resize(rows, TokenType::kUnused);
  }

  Vocab& vocab_;
  int64_t vocab_size_;
};

int64_t any_int(const json& object, std::string_view key) {
  return get_int(object, key, INT64_MIN, INT64_MAX);
}

void read_base_tokens(const json& model, TokenTable& table) {
  const json* tokens = find(model, "vocab");
  if (tokens == nullptr || !tokens->is_object()) {
    fail(ErrorCode::kInvalidData, "model: vocab: want an object");
  }
  for (const auto& [text, id] : tokens->items()) {
    with_context(fmt::format("vocab '{}'", printable(text)), [&, &name = text] {
      table.add(any_int(*tokens, name), name, TokenType::kNormal);
    });
  }
}

bool looks_special(std::string_view text) {
  return text.size() >= 4 && text.starts_with("<|") && text.ends_with("|>");
}

// "normalized" may be true or false: NFC leaves the names of added tokens alone, so it only matters
// if a combining mark follows one in the text.
void read_added_tokens(const json& tokenizer, TokenTable& table) {
  const json* tokens = find(tokenizer, "added_tokens");
  if (tokens == nullptr) return;
  if (!tokens->is_array()) fail(ErrorCode::kInvalidData, "added_tokens: want an array");
  for (size_t i = 0; i < tokens->size(); ++i) {
    with_context(fmt::format("added_tokens[{}]", i), [&] {
      const json& token = (*tokens)[i];
      const std::string text = find_string(token, "content", "");
      if (text.empty()) fail(ErrorCode::kInvalidData, "content: missing or empty");
      for (const char* key : {"single_word", "lstrip", "rstrip"}) check_false(token, key, false);
      const bool special = find_bool(token, "special", false) || looks_special(text);
      table.add(any_int(token, "id"), text,
                special ? TokenType::kControl : TokenType::kUserDefined);
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

void read_merges(const json& model, std::vector<std::string>& merges) {
  const json* list = find(model, "merges");
  if (list == nullptr || !list->is_array()) {
    fail(ErrorCode::kInvalidData, "model: merges: want an array");
  }
  merges.reserve(list->size());
  for (const json& merge : *list) {
    with_context(fmt::format("merges[{}]", merges.size()),
                 [&] { merges.push_back(merge_text(merge)); });
  }
}

void read_tokenizer(const json& tokenizer, int64_t vocab_size, Vocab& vocab) {
  vocab.nfc = check_type("normalizer", find(tokenizer, "normalizer"), {"NFC", "null"}) == "NFC";
  check_pre_tokenizer(find(tokenizer, "pre_tokenizer"));
  check_type("post_processor", find(tokenizer, "post_processor"), {"ByteLevel", "null"});
  check_type("decoder", find(tokenizer, "decoder"), {"ByteLevel", "null"});
  const json* model = find(tokenizer, "model");
  check_model(model);

  TokenTable table(vocab, vocab_size);
  read_base_tokens(*model, table);
  read_added_tokens(tokenizer, table);
  table.pad();
  read_merges(*model, vocab.merges);
}

// The id of the token that `config` names: "eos_token": "<|im_end|>" or {"content": "<|im_end|>"}.
Token named_token(const json& config, std::string_view key, const Vocab& vocab) {
  const json* value = find(config, key);
  if (value == nullptr) return -1;
  const std::string name =
      value->is_object() ? find_string(*value, "content", "") : find_string(config, key, "");
  const auto it = std::ranges::find(vocab.tokens, name);
  if (it == vocab.tokens.end()) {
    fail(ErrorCode::kInvalidData, "{}: '{}' not in vocab", key, printable(name));
  }
  return static_cast<Token>(it - vocab.tokens.begin());
}

// One id, a list of them, or none.
std::vector<Token> token_ids(const json& config, std::string_view key, const Vocab& vocab) {
  const json* value = find(config, key);
  if (value == nullptr) return {};
  const auto ids = int_array(value->is_array() ? *value : json::array({*value}), key, 0,
                             static_cast<int64_t>(vocab.tokens.size()) - 1);
  return {ids.begin(), ids.end()};
}

// A template, or a list of named ones of which "default" counts.
std::string chat_template(const json& config) {
  const json* value = find(config, "chat_template");
  if (value == nullptr || !value->is_array()) return find_string(config, "chat_template", "");
  for (const json& item : *value) {
    if (find_string(item, "name", "") == "default") return find_string(item, "template", "");
  }
  return "";
}

json parse_optional(std::string_view name, const std::string& text) {
  if (text.empty()) return json::object();
  return with_context(name, [&] { return parse_json(text); });
}

}  // namespace

Vocab parse_hf_vocab(const HfVocabFiles& files, int64_t vocab_size) {
  if (vocab_size < 0 || vocab_size > kMaxTokens) {
    fail(ErrorCode::kInvalidData, "vocab_size {}, want 0..2^24", vocab_size);
  }
  Vocab vocab;
  with_context("tokenizer.json",
               [&] { read_tokenizer(parse_json(files.tokenizer), vocab_size, vocab); });

  const json tokenizer_config = parse_optional("tokenizer_config.json", files.tokenizer_config);
  with_context("tokenizer_config.json", [&] {
    vocab.bos = named_token(tokenizer_config, "bos_token", vocab);
    vocab.eos = named_token(tokenizer_config, "eos_token", vocab);
    vocab.pad = named_token(tokenizer_config, "pad_token", vocab);
    vocab.add_bos = find_bool(tokenizer_config, "add_bos_token", false);
    vocab.chat_template =
        files.chat_template.empty() ? chat_template(tokenizer_config) : files.chat_template;
  });

  const json generation = parse_optional("generation_config.json", files.generation_config);
  const json config = parse_optional("config.json", files.config);
  const auto ids = [&](std::string_view key) {
    auto found =
        with_context("generation_config.json", [&] { return token_ids(generation, key, vocab); });
    if (!found.empty()) return found;
    return with_context("config.json", [&] { return token_ids(config, key, vocab); });
  };
  const auto first_or_none = [](const std::vector<Token>& list) {
    return list.empty() ? -1 : list.front();
  };
  if (vocab.bos < 0) vocab.bos = first_or_none(ids("bos_token_id"));
  if (vocab.pad < 0) vocab.pad = first_or_none(ids("pad_token_id"));
  std::vector<Token> end_of_generation = ids("eos_token_id");
  if (vocab.eos < 0) vocab.eos = first_or_none(end_of_generation);
  set_end_of_generation(vocab, std::move(end_of_generation));
  return vocab;
}

Vocab read_hf_vocab(const std::string& folder, int64_t vocab_size) {
  const auto read = [&](const char* name) {
    return read_text_file(folder + "/" + name, kMaxFileBytes);
  };
  const auto read_if_there = [&](const char* name) {
    std::error_code error;
    const bool there = std::filesystem::exists(folder + "/" + name, error);
    return there || error ? read(name) : std::string();
  };
  HfVocabFiles files;
  files.tokenizer = read("tokenizer.json");
  files.tokenizer_config = read_if_there("tokenizer_config.json");
  files.generation_config = read_if_there("generation_config.json");
  files.config = read_if_there("config.json");
  files.chat_template = read_if_there("chat_template.jinja");
  return with_context(printable(folder), [&] { return parse_hf_vocab(files, vocab_size); });
}

}  // namespace st

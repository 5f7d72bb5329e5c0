#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "format/json_object.h"
#include "text/hf_sentencepiece.h"
#include "text/hf_tokenizer.h"
#include "text/vocab.h"

namespace st {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxTokenizerBytes = uint64_t{64} << 20;        // Qwen's: 11 MB
constexpr uint64_t kMaxTokenizerConfigBytes = uint64_t{16} << 20;  // lists added tokens once more
constexpr uint64_t kMaxOtherBytes = uint64_t{1} << 20;

// The token that `config` names: "eos_token": "<|im_end|>" or {"content": "<|im_end|>"}.
struct NamedToken {
  std::string name;
  Token id = -1;  // -1: not in the vocabulary
};

std::optional<NamedToken> named_token(const json& config, std::string_view key,
                                      const Vocab& vocab) {
  const json* value = find(config, key);
  if (value == nullptr) return std::nullopt;
  NamedToken token;
  token.name =
      value->is_object() ? find_string(*value, "content", "") : find_string(config, key, "");
  const auto it = std::ranges::find(vocab.tokens, token.name);
  if (it != vocab.tokens.end()) token.id = static_cast<Token>(it - vocab.tokens.begin());
  return token;
}

// Of a token that generation needs.
Token needed_token(const json& config, std::string_view key, const Vocab& vocab) {
  const auto token = named_token(config, key, vocab);
  if (token && token->id < 0) {
    fail(ErrorCode::kInvalidData, "{}: '{}' not in vocab", key, printable(token->name));
  }
  return token ? token->id : -1;
}

// Of one that nothing here needs: a name or number that is no token is as good as none.
Token unneeded_token(const json& config, std::string_view key, const Vocab& vocab) {
  const auto token = named_token(config, key, vocab);
  return token ? token->id : -1;
}

Token unneeded_id(const json& config, std::string_view key, const Vocab& vocab) {
  const int64_t id = find_int(config, key, INT64_MIN, INT64_MAX, -1);
  return id >= 0 && static_cast<uint64_t>(id) < vocab.tokens.size() ? static_cast<Token>(id) : -1;
}

// One id, a list of them, or none.
std::vector<Token> token_ids(const json& config, std::string_view key, const Vocab& vocab) {
  const json* value = find(config, key);
  if (value == nullptr) return {};
  const auto ids = int_array(value->is_array() ? *value : json::array({*value}), key, 0,
                             static_cast<int64_t>(vocab.tokens.size()) - 1);
  return {ids.begin(), ids.end()};
}

// chat_template is a template, or a list of named ones; files of their own come first.
void read_chat_templates(const json& config, const HfVocabFiles& files, Vocab& vocab) {
  const json* value = find(config, "chat_template");
  if (value == nullptr || !value->is_array()) {
    vocab.chat_template = find_string(config, "chat_template", "");
  } else {
    for (const json& item : *value) {
      const std::string name = find_string(item, "name", "");
      vocab.named_chat_templates[name] = find_string(item, "template", "");
    }
  }
  for (const auto& [name, source] : files.named_chat_templates) {
    vocab.named_chat_templates[name] = source;
  }
  if (const auto node = vocab.named_chat_templates.extract("default")) {
    vocab.chat_template = node.mapped();
  }
  if (!files.chat_template.empty()) vocab.chat_template = files.chat_template;
}

json parse_optional(std::string_view name, const std::optional<std::string>& text) {
  if (!text) return json::object();
  return with_context(name, [&] { return parse_json_object(*text); });
}

// What the files say of ids beside tokens, the first of them that says something; all of them are
// checked.
class SpecialIds {
 public:
  SpecialIds(const HfVocabFiles& files, const Vocab& vocab) : vocab_(vocab) {
    add("generation_config.json",
        parse_optional("generation_config.json", files.generation_config));
    const json config = parse_optional("config.json", files.config);
    add("config.json", config);
    // Where the model is more than its text.
    const json* text = find(config, "text_config");
    if (text != nullptr && text->is_object()) add("config.json: text_config", *text);
  }

  // One id or a list of them. Throws Error(kInvalidData) for what is no token.
  std::vector<Token> list(std::string_view key) const {
    std::vector<Token> first;
    for (const auto& [name, object] : places_) {
      const auto ids = with_context(name, [&] { return token_ids(object, key, vocab_); });
      if (first.empty()) first = ids;
    }
    return first;
  }
  Token one(std::string_view key) const {
    const std::vector<Token> ids = list(key);
    return ids.empty() ? -1 : ids.front();
  }
  // Of a token that nothing here needs.
  Token unneeded(std::string_view key) const {
    for (const auto& [name, object] : places_) {
      const Token id = with_context(name, [&] { return unneeded_id(object, key, vocab_); });
      if (id >= 0) return id;
    }
    return -1;
  }

 private:
  void add(std::string_view name, const json& object) { places_.emplace_back(name, object); }

  const Vocab& vocab_;
  std::vector<std::pair<std::string_view, json>> places_;
};

}  // namespace

Vocab parse_hf_vocab(const HfVocabFiles& files, int64_t vocab_size) {
  if (vocab_size < 0 || vocab_size > TokenTable::kMaxTokens) {
    fail(ErrorCode::kInvalidData, "vocab_size {}, want 0..2^24", vocab_size);
  }
  Vocab vocab;
  TokenTable table(vocab, vocab_size);
  with_context("tokenizer.json", [&] { read_hf_tokenizer(files.tokenizer, table, vocab); });

  const json tokenizer_config = parse_optional("tokenizer_config.json", files.tokenizer_config);
  with_context("tokenizer_config.json", [&] {
    read_hf_tokenizer_config(tokenizer_config, table);
    table.pad();
    vocab.add_bos = find_bool(tokenizer_config, "add_bos_token", vocab.add_bos);
    const Token front = vocab.bos;  // that the post-processor puts before a text
    vocab.bos =
        (vocab.add_bos ? needed_token : unneeded_token)(tokenizer_config, "bos_token", vocab);
    if (vocab.bos < 0) vocab.bos = front;
    if (front >= 0 && front != vocab.bos) {
      fail(ErrorCode::kUnsupported, "bos_token: token {}, but tokenizer.json puts {} before a text",
           vocab.bos, front);
    }
    vocab.eos = needed_token(tokenizer_config, "eos_token", vocab);
    vocab.pad = unneeded_token(tokenizer_config, "pad_token", vocab);
    read_chat_templates(tokenizer_config, files, vocab);
  });

  if (vocab.kind == TokenizerKind::kSentencePiece) {
    vocab.unk = unneeded_token(tokenizer_config, "unk_token", vocab);
    with_context("tokenizer.json", [&] { scores_of_merges(vocab); });
  }

  // The rest of generation_config.json is advice on how to draw tokens, for which there are
  // options.
  const SpecialIds ids(files, vocab);
  const Token bos = ids.one("bos_token_id");
  std::vector<Token> end_of_generation = ids.list("eos_token_id");
  if (vocab.bos < 0) vocab.bos = bos;
  if (vocab.pad < 0) vocab.pad = ids.unneeded("pad_token_id");
  if (vocab.eos < 0 && !end_of_generation.empty()) vocab.eos = end_of_generation.front();
  set_end_of_generation(vocab, std::move(end_of_generation));
  return vocab;
}

namespace {

std::map<std::string, std::string> read_named_chat_templates(const std::string& folder) {
  std::map<std::string, std::string> templates;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::filesystem::path& path = entry.path();
    if (path.extension() != ".jinja") continue;
    templates[path.stem()] = read_text_file(path, kMaxOtherBytes);
  }
  return templates;
}

}  // namespace

Vocab read_hf_vocab(const std::string& folder, int64_t vocab_size) {
  const auto there = [&](const char* name) {
    std::error_code error;
    return std::filesystem::exists(folder + "/" + name, error) || error;
  };
  const auto read_if_there = [&](const char* name, uint64_t max_bytes) {
    return there(name) ? std::optional(read_text_file(folder + "/" + name, max_bytes))
                       : std::nullopt;
  };
  if (!there("tokenizer.json") && there("vocab.json") && there("merges.txt")) {
    fail(ErrorCode::kUnsupported,
         "{}/tokenizer.json: missing, and vocab.json with merges.txt is not enough: save it with "
         "AutoTokenizer.from_pretrained(...).save_pretrained(...)",
         printable_path(folder));
  }
  HfVocabFiles files;
  files.tokenizer = read_text_file(folder + "/tokenizer.json", kMaxTokenizerBytes);
  files.tokenizer_config = read_if_there("tokenizer_config.json", kMaxTokenizerConfigBytes);
  files.generation_config = read_if_there("generation_config.json", kMaxOtherBytes);
  files.config = read_if_there("config.json", kMaxOtherBytes);
  files.chat_template = read_if_there("chat_template.jinja", kMaxOtherBytes).value_or("");
  files.named_chat_templates = read_named_chat_templates(folder + "/additional_chat_templates");
  try {
    return parse_hf_vocab(files, vocab_size);
  } catch (const Error& e) {  // whose message begins with the name of a file
    throw Error(e.code(), fmt::format("{}/{}", printable_path(folder), e.what()));
  }
}

}  // namespace st

#include "text/vocab.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/error.h"
#include "text/sentencepiece.h"

namespace st {
namespace {

constexpr std::string_view kModel = "tokenizer.ggml.model";
constexpr std::string_view kPre = "tokenizer.ggml.pre";
constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
constexpr std::string_view kTokenType = "tokenizer.ggml.token_type";
constexpr std::string_view kMerges = "tokenizer.ggml.merges";
constexpr std::string_view kScores = "tokenizer.ggml.scores";
constexpr std::string_view kBos = "tokenizer.ggml.bos_token_id";
constexpr std::string_view kEos = "tokenizer.ggml.eos_token_id";
constexpr std::string_view kPad = "tokenizer.ggml.padding_token_id";
constexpr std::string_view kUnknown = "tokenizer.ggml.unknown_token_id";
constexpr std::string_view kAddBos = "tokenizer.ggml.add_bos_token";
constexpr std::string_view kAddEos = "tokenizer.ggml.add_eos_token";
constexpr std::string_view kAddSpacePrefix = "tokenizer.ggml.add_space_prefix";
constexpr std::string_view kChatTemplate = "tokenizer.chat_template";
constexpr std::string_view kNamedChatTemplate = "tokenizer.chat_template.";
constexpr std::string_view kChatTemplates = "tokenizer.chat_templates";  // their names
// Ours: what the keys above cannot say.
constexpr std::string_view kEndOfGeneration = "smallthinker.tokenizer.end_of_generation";
constexpr std::string_view kNfc = "smallthinker.tokenizer.nfc";

// The array at `key`, of exactly this element type; null if absent.
const GgufArray* find_array(const GgufFile& file, std::string_view key, GgufType type) {
  const GgufValue* value = file.find(key);
  if (value == nullptr) return nullptr;
  const auto* array = std::get_if<GgufArray>(&value->value);
  if (array == nullptr || array->type != type) {
    fail(ErrorCode::kInvalidData, "{}: want array of {}, got {}", key, gguf_type_name(type),
         gguf_type_name(array == nullptr ? value->type : array->type));
  }
  return array;
}

const GgufArray& get_strings(const GgufFile& file, std::string_view key) {
  const GgufArray* array = find_array(file, key, GgufType::kString);
  if (array == nullptr) fail(ErrorCode::kInvalidData, "{}: missing", key);
  return *array;
}

// A file without this key is taken for one of Qwen's only if its architecture always has that
// pre-tokenizer.
std::string read_pre(const GgufFile& file) {
  if (const std::string* pre = file.find_string(kPre)) return *pre;
  const std::string* architecture = file.find_string("general.architecture");
  constexpr std::array<std::string_view, 3> kAlwaysQwen2 = {"smallthinker", "qwen3", "qwen3moe"};
  if (architecture == nullptr || std::ranges::count(kAlwaysQwen2, *architecture) == 0) {
    fail(ErrorCode::kUnsupported, "{}: missing", kPre);
  }
  return "qwen2";
}

std::vector<TokenType> read_types(const GgufFile& file, size_t count) {
  std::vector<TokenType> types(count, TokenType::kNormal);
  const GgufArray* array = find_array(file, kTokenType, GgufType::kI32);
  if (array == nullptr) return types;
  if (array->count != count) {
    fail(ErrorCode::kInvalidData, "{}: {} entries for {} tokens", kTokenType, array->count, count);
  }
  for (size_t i = 0; i < count; ++i) {
    const int64_t type = array->integer(i);
    if (type < 1 || type > 6) {
      fail(ErrorCode::kInvalidData, "{}[{}]: want 1..6, got {}", kTokenType, i, type);
    }
    types[i] = static_cast<TokenType>(type);
  }
  return types;
}

std::vector<float> read_scores(const GgufFile& file, size_t count) {
  const GgufArray* array = find_array(file, kScores, GgufType::kF32);
  if (array == nullptr) fail(ErrorCode::kInvalidData, "{}: missing", kScores);
  if (array->count != count) {
    fail(ErrorCode::kInvalidData, "{}: {} entries for {} tokens", kScores, array->count, count);
  }
  std::vector<float> scores(count);
  for (size_t i = 0; i < count; ++i) scores[i] = static_cast<float>(array->number(i));
  return scores;
}

Token checked_id(std::string_view key, int64_t id, size_t count) {
  if (id < 0 || static_cast<uint64_t>(id) >= count) {
    fail(ErrorCode::kInvalidData, "{}: {} is not one of {} tokens", key, id, count);
  }
  return static_cast<Token>(id);
}

// More ends of generation, where llama.cpp looks for them.
constexpr std::string_view kEnds[] = {
    "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id", "tokenizer.ggml.fim_pad_token_id",
    "tokenizer.ggml.fim_rep_token_id", "tokenizer.ggml.fim_sep_token_id"};

// What may be there without an effect: scores of byte-level BPE, merges of SentencePiece's, names
// of tokens, and what says the same otherwise.
constexpr std::string_view kHarmless[] = {kScores,
                                          kMerges,
                                          kPre,
                                          kUnknown,
                                          "tokenizer.ggml.seperator_token_id",
                                          "tokenizer.ggml.separator_token_id",
                                          "tokenizer.ggml.cls_token_id",
                                          "tokenizer.ggml.mask_token_id",
                                          "tokenizer.ggml.fim_pre_token_id",
                                          "tokenizer.ggml.fim_suf_token_id",
                                          "tokenizer.ggml.fim_mid_token_id",
                                          "tokenizer.ggml.prefix_token_id",
                                          "tokenizer.ggml.suffix_token_id",
                                          "tokenizer.ggml.middle_token_id",
                                          "tokenizer.huggingface.json",
                                          kChatTemplates};
// These change nothing if they are false.
constexpr std::string_view kOff[] = {kAddEos, "tokenizer.ggml.add_sep_token", kAddSpacePrefix,
                                     "tokenizer.ggml.remove_extra_whitespaces"};

void refuse_others(const GgufFile& file) {
  for (const GgufEntry* entry : file.unread_entries()) {
    const std::string_view key = entry->key;
    const auto* on = std::get_if<bool>(&entry->value.value);
    const bool off = std::ranges::count(kOff, key) > 0 && on != nullptr && !*on;
    if (!key.starts_with("tokenizer.") || std::ranges::count(kHarmless, key) > 0 || off) continue;
    fail(ErrorCode::kUnsupported, "key {} {}: not understood, tokens could be wrong",
         printable(key), printable(entry->value));
  }
}

void tell_guesses(const GgufFile& file, const Vocab& vocab, std::vector<std::string>& notices) {
  if (vocab.kind == TokenizerKind::kByteLevel && file.find(kPre) == nullptr) {
    notices.push_back(fmt::format("no {} in the file: using {}", kPre, vocab.pre));
  }
  if (file.find(kTokenType) == nullptr) {
    notices.push_back(fmt::format("no {} in the file: no token is special", kTokenType));
  }
  if (vocab.end_of_generation.empty()) {
    notices.push_back("no token of the file ends a text: it ends where the context does, or -n");
  }
}

TokenizerKind read_kind(std::string_view model) {
  if (model == "gpt2") return TokenizerKind::kByteLevel;
  if (model == "llama") return TokenizerKind::kSentencePiece;
  fail(ErrorCode::kUnsupported,
       "{}: '{}', only 'gpt2' (byte-level BPE) and 'llama' (SentencePiece) are supported", kModel,
       printable(model));
}

Token read_id(const GgufFile& file, std::string_view key, size_t count) {
  const auto id = file.find_u32(key);
  return id ? checked_id(key, *id, count) : -1;
}

void read_chat_templates(const GgufFile& file, Vocab& vocab) {
  if (const std::string* source = file.find_string(kChatTemplate)) vocab.chat_template = *source;
  for (const GgufEntry& entry : file.entries()) {
    if (!entry.key.starts_with(kNamedChatTemplate)) continue;
    const std::string name = entry.key.substr(kNamedChatTemplate.size());
    vocab.named_chat_templates[name] = *file.find_string(entry.key);
  }
}

// llama.cpp's converter writes the marks of user-defined tokens as the blanks they print as. Of
// runs of blanks they are restored: what Hugging Face finds in a text are marks, and blanks merge.
void read_sentencepiece(const GgufFile& file, Vocab& vocab) {
  if (file.find_bool(kAddSpacePrefix).value_or(true)) {
    fail(ErrorCode::kUnsupported, "{}: true (also if absent), only false is supported",
         kAddSpacePrefix);
  }
  vocab.scores = read_scores(file, vocab.tokens.size());
  vocab.unk = read_id(file, kUnknown, vocab.tokens.size());
  for (size_t id = 0; id < vocab.tokens.size(); ++id) {
    std::string& text = vocab.tokens[id];
    const bool blanks = !text.empty() && text.find_first_not_of(' ') == std::string::npos;
    if (blanks && vocab.types[id] == TokenType::kUserDefined) {
      text = with_marks(text);
    };
  }
}

}  // namespace

void set_end_of_generation(Vocab& vocab, std::vector<Token> ids) {
  constexpr std::array<std::string_view, 6> kNames = {"<|endoftext|>", "<|im_end|>",
                                                      "<|fim_pad|>",   "<|repo_name|>",
                                                      "<|file_sep|>",  "<end_of_turn>"};
  for (size_t id = 0; id < vocab.tokens.size(); ++id) {
    const TokenType type = vocab.types[id];
    if (type != TokenType::kControl && type != TokenType::kUserDefined) continue;
    if (std::ranges::count(kNames, vocab.tokens[id]) > 0) ids.push_back(static_cast<Token>(id));
  }
  if (vocab.eos >= 0) ids.push_back(vocab.eos);
  if (vocab.bos >= 0 && vocab.tokens[static_cast<size_t>(vocab.bos)] == "<|endoftext|>") {
    ids.push_back(vocab.bos);
  }
  std::ranges::sort(ids);
  ids.erase(std::ranges::unique(ids).begin(), ids.end());
  vocab.end_of_generation = std::move(ids);
}

Vocab read_gguf_vocab(const GgufFile& file, std::vector<std::string>* notices) {
  const std::string* model = file.find_string(kModel);
  if (model == nullptr) fail(ErrorCode::kInvalidData, "{}: missing", kModel);
  Vocab vocab;
  vocab.kind = read_kind(*model);
  if (vocab.kind == TokenizerKind::kByteLevel) vocab.pre = read_pre(file);
  vocab.tokens = get_strings(file, kTokens).strings;
  const size_t count = vocab.tokens.size();
  vocab.types = read_types(file, count);
  if (vocab.kind == TokenizerKind::kByteLevel) {
    vocab.merges = get_strings(file, kMerges).strings;
  } else {
    read_sentencepiece(file, vocab);
  }
  vocab.nfc = file.find_bool(kNfc).value_or(true);
  vocab.bos = read_id(file, kBos, count);
  vocab.eos = read_id(file, kEos, count);
  vocab.pad = read_id(file, kPad, count);
  // llama.cpp's defaults.
  vocab.add_bos = file.find_bool(kAddBos).value_or(vocab.kind == TokenizerKind::kSentencePiece);
  read_chat_templates(file, vocab);

  std::vector<Token> end_of_generation;
  if (const GgufArray* ids = find_array(file, kEndOfGeneration, GgufType::kI32)) {
    for (uint64_t i = 0; i < ids->count; ++i) {
      end_of_generation.push_back(checked_id(kEndOfGeneration, ids->integer(i), count));
    }
  }
  for (const std::string_view key : kEnds) {
    if (const Token id = read_id(file, key, count); id >= 0) end_of_generation.push_back(id);
  }
  set_end_of_generation(vocab, std::move(end_of_generation));
  refuse_others(file);
  if (notices != nullptr) tell_guesses(file, vocab, *notices);
  return vocab;
}

namespace {

// What llama.cpp's converter takes for a control token whatever the tokenizer says of it.
bool looks_special(std::string_view text) {
  return text == "<pad>" || text == "<mask>" ||
         (text.starts_with("<unused") && text.ends_with(">"));
}

// A template's name as llama.cpp's converter has it in keys.
std::string key_part(std::string name) {
  for (char& c : name) {
    const bool kept = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (!kept) c = '_';
  }
  return name;
}

// Texts and types of tokens as llama.cpp's converter writes them.
void write_tokens(const Vocab& vocab, GgufWriter& writer) {
  std::vector<std::string> tokens = vocab.tokens;
  std::vector<int32_t> types;
  types.reserve(tokens.size());
  for (size_t id = 0; id < tokens.size(); ++id) {
    TokenType type = vocab.types[id];
    if (vocab.kind == TokenizerKind::kSentencePiece && type == TokenType::kUserDefined) {
      if (is_blank_run(tokens[id])) tokens[id] = with_blanks(tokens[id]);
      if (looks_special(tokens[id])) type = TokenType::kControl;
    }
    types.push_back(static_cast<int32_t>(type));
  }
  writer.set(std::string(kTokens), GgufValue::array(GgufArray::of(tokens)));
  writer.set(std::string(kTokenType), GgufValue::array(GgufArray::of(types)));
}

}  // namespace

void write_gguf_vocab(const Vocab& vocab, GgufWriter& writer) {
  const auto set = [&](std::string_view key, GgufValue value) {
    writer.set(std::string(key), std::move(value));
  };
  const auto set_id = [&](std::string_view key, Token id) {
    if (id >= 0) set(key, GgufValue::u32(static_cast<uint32_t>(id)));
  };
  const bool byte_level = vocab.kind == TokenizerKind::kByteLevel;
  set(kModel, GgufValue::string(byte_level ? "gpt2" : "llama"));
  set(kPre, GgufValue::string(byte_level ? vocab.pre : "default"));
  write_tokens(vocab, writer);
  if (byte_level) {
    set(kMerges, GgufValue::array(GgufArray::of(vocab.merges)));
  } else {
    set(kScores, GgufValue::array(GgufArray::of(vocab.scores)));
  }
  set_id(kBos, vocab.bos);
  set_id(kEos, vocab.eos);
  set_id(kUnknown, vocab.unk);
  set_id(kPad, vocab.pad);
  set(kAddBos, GgufValue::boolean(vocab.add_bos));
  if (!byte_level) {
    set(kAddEos, GgufValue::boolean(false));
    set(kAddSpacePrefix, GgufValue::boolean(false));
  }
  if (!vocab.end_of_generation.empty())
    set(kEndOfGeneration, GgufValue::array(GgufArray::of(vocab.end_of_generation)));
  if (byte_level && !vocab.nfc) set(kNfc, GgufValue::boolean(false));
  if (!vocab.chat_template.empty()) set(kChatTemplate, GgufValue::string(vocab.chat_template));
  std::vector<std::string> names;
  for (const auto& [name, source] : vocab.named_chat_templates) {
    names.push_back(key_part(name));
    set(fmt::format("{}{}", kNamedChatTemplate, names.back()), GgufValue::string(source));
  }
  if (!names.empty()) set(kChatTemplates, GgufValue::array(GgufArray::of(names)));
}

}  // namespace st

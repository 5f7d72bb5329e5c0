#include "text/vocab.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/error.h"

namespace st {
namespace {

constexpr std::string_view kModel = "tokenizer.ggml.model";
constexpr std::string_view kPre = "tokenizer.ggml.pre";
constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
constexpr std::string_view kTokenType = "tokenizer.ggml.token_type";
constexpr std::string_view kMerges = "tokenizer.ggml.merges";
constexpr std::string_view kBos = "tokenizer.ggml.bos_token_id";
constexpr std::string_view kEos = "tokenizer.ggml.eos_token_id";
constexpr std::string_view kPad = "tokenizer.ggml.padding_token_id";
constexpr std::string_view kAddBos = "tokenizer.ggml.add_bos_token";
constexpr std::string_view kChatTemplate = "tokenizer.chat_template";
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

// What may be there without an effect on byte-level BPE: names of tokens, and what says the same
// otherwise.
constexpr std::string_view kHarmless[] = {"tokenizer.ggml.scores",
                                          "tokenizer.ggml.unknown_token_id",
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
                                          "tokenizer.chat_templates"};
// These change nothing if they are false.
constexpr std::string_view kOff[] = {"tokenizer.ggml.add_eos_token", "tokenizer.ggml.add_sep_token",
                                     "tokenizer.ggml.add_space_prefix",
                                     "tokenizer.ggml.remove_extra_whitespaces"};

void refuse_others(const GgufFile& file) {
  for (const GgufEntry* entry : file.unread_entries()) {
    const std::string_view key = entry->key;
    const auto* on = std::get_if<bool>(&entry->value.value);
    const bool off = std::ranges::count(kOff, key) > 0 && on != nullptr && !*on;
    if (!key.starts_with("tokenizer.") || std::ranges::count(kHarmless, key) > 0 || off ||
        key.starts_with("tokenizer.chat_template.")) {
      continue;
    }
    fail(ErrorCode::kUnsupported, "key {} {}: not understood, tokens could be wrong",
         printable(key), printable(entry->value));
  }
}

void tell_guesses(const GgufFile& file, const Vocab& vocab, std::vector<std::string>& notices) {
  if (file.find(kPre) == nullptr) {
    notices.push_back(fmt::format("no {} in the file: using {}", kPre, vocab.pre));
  }
  if (file.find(kTokenType) == nullptr) {
    notices.push_back(fmt::format("no {} in the file: no token is special", kTokenType));
  }
  if (vocab.end_of_generation.empty()) {
    notices.push_back("no token of the file ends a text: it ends where the context does, or -n");
  }
}

Token read_id(const GgufFile& file, std::string_view key, size_t count) {
  const auto id = file.find_u32(key);
  return id ? checked_id(key, *id, count) : -1;
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
  if (*model != "gpt2") {
    fail(ErrorCode::kUnsupported, "{}: '{}', only 'gpt2' (byte-level BPE) is supported", kModel,
         printable(*model));
  }
  Vocab vocab;
  vocab.pre = read_pre(file);
  vocab.tokens = get_strings(file, kTokens).strings;
  vocab.merges = get_strings(file, kMerges).strings;
  const size_t count = vocab.tokens.size();
  vocab.types = read_types(file, count);
  vocab.nfc = file.find_bool(kNfc).value_or(true);
  vocab.bos = read_id(file, kBos, count);
  vocab.eos = read_id(file, kEos, count);
  vocab.pad = read_id(file, kPad, count);
  vocab.add_bos = file.find_bool(kAddBos).value_or(false);
  if (const std::string* source = file.find_string(kChatTemplate)) vocab.chat_template = *source;

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

void write_gguf_vocab(const Vocab& vocab, GgufWriter& writer) {
  const auto set = [&](std::string_view key, GgufValue value) {
    writer.set(std::string(key), std::move(value));
  };
  const auto set_id = [&](std::string_view key, Token id) {
    if (id >= 0) set(key, GgufValue::u32(static_cast<uint32_t>(id)));
  };
  std::vector<int32_t> types;
  types.reserve(vocab.types.size());
  for (const TokenType type : vocab.types) types.push_back(static_cast<int32_t>(type));

  set(kModel, GgufValue::string("gpt2"));
  set(kPre, GgufValue::string(vocab.pre));
  set(kTokens, GgufValue::array(GgufArray::of(vocab.tokens)));
  set(kTokenType, GgufValue::array(GgufArray::of(types)));
  set(kMerges, GgufValue::array(GgufArray::of(vocab.merges)));
  set_id(kBos, vocab.bos);
  set_id(kEos, vocab.eos);
  set_id(kPad, vocab.pad);
  set(kAddBos, GgufValue::boolean(vocab.add_bos));
  if (!vocab.end_of_generation.empty())
    set(kEndOfGeneration, GgufValue::array(GgufArray::of(vocab.end_of_generation)));
  if (!vocab.nfc) set(kNfc, GgufValue::boolean(false));
  if (!vocab.chat_template.empty()) set(kChatTemplate, GgufValue::string(vocab.chat_template));
}

}  // namespace st

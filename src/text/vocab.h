// The vocabulary as data, whichever file it came from.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "format/gguf.h"

namespace st {

using Token = int32_t;

// Numbers are those of tokenizer.ggml.token_type.
enum class TokenType : int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,      // special: matched in text only when asked, not part of the visible text
  kUserDefined = 4,  // added but not special: always matched as a whole, printed as is
  kUnused = 5,       // padding rows of the embedding
  kByte = 6,
};

enum class TokenizerKind : uint8_t {
  kByteLevel,      // tokenizer.ggml.model "gpt2": a pre-tokenizer's words, bytes that merge
  kSentencePiece,  // "llama": characters that merge by score, bytes where there is no character
};

struct Vocab {
  TokenizerKind kind = TokenizerKind::kByteLevel;
  std::string pre = "qwen2";  // tokenizer.ggml.pre: which pre-tokenizer pattern, of kByteLevel
  // By id; normal tokens in GPT-2's byte-to-unicode alphabet, or (kSentencePiece) with U+2581 for
  // blanks.
  std::vector<std::string> tokens;
  std::vector<TokenType> types;     // by id
  std::vector<std::string> merges;  // kByteLevel: "left right", best first
  std::vector<float> scores;        // kSentencePiece: by id, the higher the earlier merged
  bool nfc = true;                  // kByteLevel: bring text to NFC before anything else
  Token bos = -1, eos = -1, pad = -1, unk = -1;  // -1: none
  bool add_bos = false;                          // texts begin with bos
  std::vector<Token> end_of_generation;          // stop here: eos and its like, ascending
  std::string chat_template;                     // Jinja source, empty if none
  std::map<std::string, std::string> named_chat_templates;  // others beside it
};

// From tokenizer.ggml.* of a GGUF file. Guesses at what it lacks are told to `notices`, one line
// each. Throws Error(kInvalidData | kUnsupported), also for keys that are not understood.
Vocab read_gguf_vocab(const GgufFile& file, std::vector<std::string>* notices = nullptr);

// The files of a Hugging Face folder that concern text, if they are there.
struct HfVocabFiles {
  std::string tokenizer = {};                         // tokenizer.json; required
  std::optional<std::string> tokenizer_config = {};   // tokenizer_config.json
  std::optional<std::string> generation_config = {};  // generation_config.json
  // config.json: only bos, eos and padding ids, as a last resort.
  std::optional<std::string> config = {};
  std::string chat_template = {};  // chat_template.jinja; empty if there is none
  std::map<std::string, std::string> named_chat_templates =
      {};  // additional_chat_templates/*.jinja
};

// Rows up to `vocab_size` without a token become "[PAD{id}]", unused; 0: as many rows as tokens.
// Throws Error(kInvalidData | kUnsupported), the name of the file in front.
Vocab parse_hf_vocab(const HfVocabFiles& files, int64_t vocab_size);
Vocab read_hf_vocab(const std::string& folder, int64_t vocab_size);

// Sets end_of_generation to `ids`, eos, the tokens known to end a turn or a text in Qwen's models,
// and bos where that is <|endoftext|>.
void set_end_of_generation(Vocab& vocab, std::vector<Token> ids);

// Appends tokenizer.ggml.* entries, as llama.cpp's converter writes them.
void write_gguf_vocab(const Vocab& vocab, GgufWriter& writer);

}  // namespace st

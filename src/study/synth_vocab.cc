#include "study/synth_vocab.h"

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "text/bpe.h"
#include "text/sentencepiece.h"
#include "text/utf8.h"

namespace st {
namespace {

constexpr std::string_view kLetters = "etaoinshrdlucmfwypvbgkqjxz";  // commonest first in English

constexpr std::string_view kChatTemplate =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\\n' }}{% endif %}";

class Maker {
 public:
  // `first`: the tokens there are already. `regular`: tokens in the end.
  Maker(std::vector<std::string> first, size_t regular) : regular_(regular) {
    vocab.tokens = std::move(first);
    known_.insert(vocab.tokens.begin(), vocab.tokens.end());
  }

  // Makes a token that does not come of a merge known, so that none does.
  void know(std::string text) { known_.insert(std::move(text)); }

  bool full() const { return vocab.tokens.size() >= regular_; }

  // Makes left + right a token, if there is room and it is none yet.
  void merge(const std::string& left, const std::string& right) {
    if (full() || !known_.insert(left + right).second) return;
    vocab.tokens.push_back(left + right);
    vocab.merges.push_back(left + " " + right);
  }

  Vocab vocab;

 private:
  size_t regular_;
  std::unordered_set<std::string> known_;
};

std::string letter(size_t rank) { return std::string(1, kLetters[rank]); }

std::string upper(size_t rank) { return std::string(1, static_cast<char>(kLetters[rank] - 32)); }

// "et", "te", ...: pairs of letters, commonest first as far as single letters tell.
std::vector<std::string> letter_pairs() {
  std::vector<std::string> pairs;
  const size_t n = kLetters.size();
  for (size_t sum = 0; sum <= 2 * (n - 1); ++sum) {
    for (size_t first = 0; first < n; ++first) {
      if (sum >= first && sum - first < n) pairs.push_back(letter(first) + letter(sum - first));
    }
  }
  return pairs;
}

// UTF-8's two-byte characters, and the three-byte ones of the CJK block, as merges of their bytes.
void merge_other_scripts(Maker& maker) {
  const auto continuation = [](int i) { return byte_to_char(static_cast<uint8_t>(0x80 + i)); };
  for (int lead = 0xC2; lead <= 0xDF; ++lead) {
    for (int i = 0; i < 64; ++i)
      maker.merge(byte_to_char(static_cast<uint8_t>(lead)), continuation(i));
  }
  for (int lead = 0xE3; lead <= 0xE9; ++lead) {
    for (int i = 0; i < 64; ++i) {
      const std::string two = byte_to_char(static_cast<uint8_t>(lead)) + continuation(i);
      maker.merge(byte_to_char(static_cast<uint8_t>(lead)), continuation(i));
      for (int j = 0; j < 64; ++j) maker.merge(two, continuation(j));
    }
  }
}

constexpr size_t kOtherScripts = 30 * 64 + 7 * 64 * 65;

// `space` and `newline` as the vocabulary writes them.
void merge_latin(Maker& maker, size_t limit, const std::string& space, const std::string& newline) {
  const std::vector<std::string> pairs = letter_pairs();
  const size_t n = kLetters.size();
  const auto has_room = [&] { return maker.vocab.tokens.size() < limit; };

  for (const std::string& pair : pairs) maker.merge(pair.substr(0, 1), pair.substr(1));
  for (const std::string& pair : pairs) maker.merge(space, pair);
  for (size_t i = 0; i < n; ++i) {
    maker.merge(space, letter(i));
    maker.merge(space, upper(i));
  }
  for (std::string run = space; run.size() < 32; run += run) maker.merge(run, run);
  maker.merge(newline, newline);
  for (const std::string& pair : pairs) {
    for (size_t i = 0; i < n && has_room(); ++i) maker.merge(pair, letter(i));
  }
  for (const std::string& pair : pairs) {
    for (size_t i = 0; i < n && has_room(); ++i) maker.merge(space, pair + letter(i));
  }
  for (size_t i = 0; i < n && has_room(); ++i) {
    for (const std::string& pair : pairs) maker.merge(upper(i), pair);
  }
  // Four letters, the sum of the pairs' ranks ascending.
  for (size_t sum = 0; sum <= 2 * (pairs.size() - 1); ++sum) {
    for (size_t i = 0; i < pairs.size() && has_room(); ++i) {
      if (sum >= i && sum - i < pairs.size()) maker.merge(pairs[i], pairs[sum - i]);
    }
  }
}

}  // namespace

Vocab make_synth_vocab(int64_t regular, int64_t rows) {
  const auto count = static_cast<size_t>(regular);
  std::vector<std::string> bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.push_back(byte_to_char(static_cast<uint8_t>(byte)));
  Maker maker(std::move(bytes), count);
  // A small vocabulary has no room for a character of three bytes in every row.
  merge_latin(maker, count > 2 * kOtherScripts ? count - kOtherScripts : count, byte_to_char(' '),
              byte_to_char('\n'));
  merge_other_scripts(maker);

  Vocab vocab = std::move(maker.vocab);
  vocab.types.assign(vocab.tokens.size(), TokenType::kNormal);
  for (const std::string_view special : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) {
    vocab.tokens.emplace_back(special);
    vocab.types.push_back(TokenType::kControl);
  }
  for (auto id = static_cast<int64_t>(vocab.tokens.size()); id < rows; ++id) {
    vocab.tokens.push_back(fmt::format("[PAD{}]", id));
    vocab.types.push_back(TokenType::kUnused);
  }
  vocab.bos = static_cast<Token>(regular);
  vocab.pad = vocab.bos;
  vocab.eos = vocab.bos + 2;
  vocab.chat_template = kChatTemplate;
  set_end_of_generation(vocab, {vocab.bos, vocab.eos});
  return vocab;
}

namespace {

constexpr std::string_view kGemmaChatTemplate =
    "{{ bos_token }}{% for message in messages %}{{ '<start_of_turn>' + (message['role'] if "
    "message['role'] == 'user' else 'model') + '\n' + message['content'] | trim + "
    "'<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<start_of_turn>model\n' }}{% endif %}";

constexpr size_t kBytes = 238, kPieces = 494;  // the first of each, as in Gemma's vocabulary
constexpr Token kStartOfTurn = 105, kEndOfTurn = 106;

// Up to the first piece.
std::vector<std::string> gemma_tokens() {
  std::vector<std::string> tokens = {"<pad>", "<eos>", "<bos>", "<unk>", "<mask>"};
  const auto fill_to = [&](size_t count) {
    while (tokens.size() < count) tokens.push_back(fmt::format("<unused{}>", tokens.size() - 5));
  };
  fill_to(kStartOfTurn);
  tokens.insert(tokens.end(), {"<start_of_turn>", "<end_of_turn>"});
  for (size_t n = 1; n <= 31; ++n) tokens.emplace_back(n, '\n');
  for (size_t n = 2; n <= 31; ++n) tokens.push_back(with_marks(std::string(n, ' ')));
  fill_to(kBytes);
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(fmt::format("<0x{:02X}>", byte));
  return tokens;
}

// ASCII, and in large vocabularies those of two bytes and the ideographs.
std::vector<std::string> characters(size_t regular) {
  std::vector<std::string> all = {std::string(kBlankMark)};
  const auto add = [&](char32_t first, char32_t end) {
    for (char32_t c = first; c < end; ++c) append_utf8(c, all.emplace_back());
  };
  add('!', 0x7F);
  if (regular > 2 * kOtherScripts) add(0xA1, 0x590), add(0x3041, 0x30FF), add(0x4E00, 0xA000);
  return all;
}

TokenType gemma_type(const std::string& text, size_t id) {
  if (id >= kBytes && id < kPieces) return TokenType::kByte;
  if (id >= kPieces) return TokenType::kNormal;
  return text.front() == '<' ? TokenType::kControl : TokenType::kUserDefined;
}

}  // namespace

Vocab make_synth_pieces(int64_t regular, int64_t rows) {
  const std::vector<std::string> last = characters(static_cast<size_t>(regular));
  Maker maker(gemma_tokens(), static_cast<size_t>(regular) - last.size());
  for (const std::string& character : last) maker.know(character);
  merge_latin(maker, SIZE_MAX, std::string(kBlankMark), "\n");

  Vocab vocab = std::move(maker.vocab);
  vocab.kind = TokenizerKind::kSentencePiece;
  vocab.merges.clear();
  vocab.tokens.insert(vocab.tokens.end(), last.begin(), last.end());
  for (size_t id = 0; id < vocab.tokens.size(); ++id) {
    const TokenType type = gemma_type(vocab.tokens[id], id);
    vocab.types.push_back(type);
    vocab.scores.push_back(type == TokenType::kByte     ? 0
                           : type == TokenType::kNormal ? -static_cast<float>(id - kPieces + 1)
                                                        : -1000);
  }
  for (auto id = static_cast<int64_t>(vocab.tokens.size()); id < rows; ++id) {
    vocab.tokens.push_back(fmt::format("[PAD{}]", id));
    vocab.types.push_back(TokenType::kUnused);
    vocab.scores.push_back(-10'000);
  }
  vocab.pad = 0, vocab.eos = 1, vocab.bos = 2, vocab.unk = 3;
  vocab.add_bos = true;
  vocab.chat_template = kGemmaChatTemplate;
  set_end_of_generation(vocab, {vocab.eos, kEndOfTurn});
  return vocab;
}

}  // namespace st

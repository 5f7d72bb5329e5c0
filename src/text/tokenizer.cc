#include "text/tokenizer.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>

#include "base/error.h"
#include "text/bpe.h"
#include "text/pretokenize.h"
#include "text/printed_tokens.h"
#include "text/sentencepiece.h"
#include "text/special_tokens.h"
#include "text/utf8.h"

namespace st {
namespace {

constexpr size_t kMaxTokens = size_t{1} << 24;
constexpr size_t kMaxTextBytes = INT32_MAX;

void check(const Vocab& vocab) {
  const size_t n = vocab.tokens.size();
  if (n == 0 || n > kMaxTokens) fail(ErrorCode::kInvalidData, "{} tokens, want 1..2^24", n);
  if (vocab.types.size() != n) {
    fail(ErrorCode::kInvalidData, "{} token types for {} tokens", vocab.types.size(), n);
  }
  const auto check_id = [&](const char* name, Token id, Token min) {
    if (id < min || (id >= 0 && static_cast<size_t>(id) >= n)) {
      fail(ErrorCode::kInvalidData, "{} token {}, want {}..{}", name, id, min, n - 1);
    }
  };
  if (vocab.add_bos && vocab.bos < 0) {
    fail(ErrorCode::kInvalidData, "add_bos_token true, and no bos token");
  }
  check_id("bos", vocab.bos, -1);
  check_id("eos", vocab.eos, -1);
  check_id("padding", vocab.pad, -1);
  for (const Token id : vocab.end_of_generation) check_id("end-of-generation", id, 0);
}

SpecialTokens special_tokens(const Vocab& vocab, bool with_control) {
  std::vector<SpecialTokens::Name> names;
  for (size_t id = 0; id < vocab.tokens.size(); ++id) {
    const TokenType type = vocab.types[id];
    if (type == TokenType::kUserDefined || (with_control && type == TokenType::kControl)) {
      names.push_back({vocab.tokens[id], static_cast<Token>(id)});
    }
  }
  return SpecialTokens(std::move(names));
}

// Of a user-defined token: it prints as blanks, tabs or line feeds, which mean the same in any
// text.
bool is_white_space(std::string_view printed) {
  return printed.find_first_not_of(" \t\n\r") == std::string_view::npos;
}

// Text without special tokens to tokens, for byte-level vocabularies.
struct ByteLevel {
  explicit ByteLevel(const Vocab& vocab) : pretokenizer(vocab.pre), bpe(vocab), nfc(vocab.nfc) {}

  Pretokenizer pretokenizer;
  Bpe bpe;
  bool nfc;  // bring text to NFC first
};

}  // namespace

// One of the two kinds.
struct Tokenizer::Impl {
  explicit Impl(const Vocab& vocab)
      : user_defined(special_tokens(vocab, false)),
        all_special(special_tokens(vocab, true)),
        printed(vocab) {
    if (vocab.kind == TokenizerKind::kByteLevel) {
      byte_level.emplace(vocab);
    } else {
      sentencepiece.emplace(vocab, printed);
    }
  }

  // The next user-defined token, or control token if `parse_special`.
  auto any_special(bool parse_special) const {
    return [&special = parse_special ? all_special : user_defined](
               std::string_view text, size_t from) { return special.find(text, from); };
  }

  SpecialTokens user_defined, all_special;
  PrintedTokens printed;
  std::optional<ByteLevel> byte_level;
  std::optional<SentencePiece> sentencepiece;
};

namespace {

// Encodes stretches of text without special tokens, for one call of encode().
class ByteLevelEncoder {
 public:
  explicit ByteLevelEncoder(const ByteLevel& parts)
      : scanner_(parts.pretokenizer), bpe_(parts.bpe), use_nfc_(parts.nfc) {}

  // Bytes that are not UTF-8 are pieces of their own between the stretches that are.
  void encode(std::string_view text, std::vector<Token>& out) {
    while (!text.empty()) {
      const size_t valid = valid_utf8_prefix(text);
      encode_utf8(text.substr(0, valid), out);
      text.remove_prefix(valid);
      size_t invalid = 0;
      while (invalid < text.size()) {
        const Utf8Step step = utf8_step(text.substr(invalid));
        if (step.kind == Utf8Step::kCharacter) break;
        invalid += step.length;
      }
      bpe_.encode(text.substr(0, invalid), out);
      text.remove_prefix(invalid);
    }
  }

 private:
  void encode_utf8(std::string_view text, std::vector<Token>& out) {
    if (use_nfc_) text = nfc(text, buffer_);
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = scanner_.piece_end(text, begin);
      bpe_.encode(text.substr(begin, end - begin), out);
      begin = end;
    }
  }

  Pretokenizer::Scanner scanner_;
  const Bpe& bpe_;
  bool use_nfc_;
  std::string buffer_;
};

}  // namespace

namespace {

// Where the bytes of a marked text are trusted.
class TrustedRanges {
 public:
  explicit TrustedRanges(const std::vector<MarkedText::Run>& runs) {
    size_t begin = 0;
    for (const MarkedText::Run& run : runs) {
      if (run.trusted) ranges_.push_back({begin, begin + run.size});
      begin += run.size;
    }
  }

  bool contain(size_t begin, size_t end) const {
    const auto after = std::ranges::upper_bound(ranges_, begin, {}, &Range::begin);
    return after != ranges_.begin() && end <= std::prev(after)->end;
  }

 private:
  struct Range {
    size_t begin, end;
  };
  std::vector<Range> ranges_;  // ascending
};

}  // namespace

Tokenizer::Tokenizer(Vocab vocab) : vocab_(std::move(vocab)) {
  check(vocab_);
  std::ranges::sort(vocab_.end_of_generation);
  impl_ = std::make_unique<const Impl>(vocab_);
}

Tokenizer::~Tokenizer() = default;

void Tokenizer::forget_texts() {
  vocab_.tokens = std::vector<std::string>();
  vocab_.merges = std::vector<std::string>();
  vocab_.scores = std::vector<float>();
}

bool Tokenizer::is_end_of_generation(Token token) const {
  return std::ranges::binary_search(vocab_.end_of_generation, token);
}

// Tokens of text[0, end), or of a little more: a special token is not cut. `find(text, from)` finds
// the next one. Returns where it ended.
template <typename Find>
size_t Tokenizer::encode_to(std::string_view text, size_t end, const Find& find,
                            std::vector<Token>& out) const {
  if (text.size() > kMaxTextBytes) {
    fail(ErrorCode::kInvalidUsage, "text: {} bytes > {}", text.size(), kMaxTextBytes);
  }
  std::optional<ByteLevelEncoder> byte_level;
  if (impl_->byte_level) byte_level.emplace(*impl_->byte_level);
  const auto encode_plain = [&](std::string_view stretch) {
    byte_level ? byte_level->encode(stretch, out) : impl_->sentencepiece->encode(stretch, out);
  };
  size_t begin = 0;
  for (auto match = find(text, 0); match && match->begin < end; match = find(text, begin)) {
    encode_plain(text.substr(begin, match->begin - begin));
    out.push_back(match->token);
    begin = match->end;
  }
  if (begin >= end) return begin;
  encode_plain(text.substr(begin, end - begin));
  return end;
}

std::vector<Token> Tokenizer::encode(std::string_view text, bool parse_special) const {
  std::vector<Token> out;
  encode_to(text, text.size(), impl_->any_special(parse_special), out);
  return out;
}

std::vector<Token> Tokenizer::encode(const MarkedText& text) const {
  const TrustedRanges trusted(text.runs);
  const auto find = [&](std::string_view bytes, size_t from) {
    return impl_->all_special.find(bytes, from, [&](const SpecialTokens::Match& match) {
      return trusted.contain(match.begin, match.end) ||
             (vocab_.types[static_cast<size_t>(match.token)] == TokenType::kUserDefined &&
              is_white_space(impl_->printed[match.token]));
    });
  };
  std::vector<Token> out;
  encode_to(text.bytes, text.bytes.size(), find, out);
  return out;
}

size_t Tokenizer::encode_part(std::string_view text, bool parse_special,
                              std::vector<Token>& out) const {
  // Beyond the border, a special token that begins before it is there as a whole.
  if (text.size() <= SpecialTokens::kMaxNameBytes) return 0;
  const size_t most = text.size() - SpecialTokens::kMaxNameBytes;
  const size_t border = impl_->sentencepiece ? impl_->sentencepiece->last_border(text, most)
                                             : last_border(text, most);
  return border == 0 ? 0 : encode_to(text, border, impl_->any_special(parse_special), out);
}

void TextEncoder::begin(std::vector<Token>& out, size_t first) {
  const Vocab& vocab = tokenizer_.vocab();
  const bool has_bos = first < out.size() && out[first] == vocab.bos;
  if (!begun_ && vocab.add_bos && !has_bos) {
    out.insert(out.begin() + static_cast<std::ptrdiff_t>(first), vocab.bos);
  }
  begun_ = true;
}

void TextEncoder::add(std::string_view part, std::vector<Token>& out) {
  constexpr size_t kWindow = size_t{64} << 10;
  while (!part.empty()) {
    // A little at a time: the buffers for encoding are many times as large as the text.
    const size_t n = std::min(part.size(), kWindow);
    held_.append(part.substr(0, n));
    part.remove_prefix(n);
    if (held_.size() < std::max(window_, kWindow)) continue;
    const size_t first = out.size();
    const size_t done = tokenizer_.encode_part(held_, parse_special_, out);
    if (done > 0) begin(out, first);
    held_.erase(0, done);
    window_ = done > 0 ? kWindow : 2 * held_.size();
  }
}

void TextEncoder::finish(std::vector<Token>& out) {
  const std::vector<Token> rest = tokenizer_.encode(held_, parse_special_);
  const size_t first = out.size();
  out.insert(out.end(), rest.begin(), rest.end());
  begin(out, first);
  held_ = {};
}

std::string Tokenizer::piece(Token token, bool special) const {
  const TokenType type = vocab_.types[static_cast<size_t>(token)];
  const bool hidden = type == TokenType::kControl || type == TokenType::kUnknown;
  return hidden && !special ? std::string() : std::string(impl_->printed[token]);
}

std::string Tokenizer::decode(std::span<const Token> tokens, bool special) const {
  std::string out;
  for (const Token token : tokens) out += piece(token, special);
  return out;
}

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

}  // namespace

std::string StreamDecoder::push(std::string_view bytes) {
  pending_ += bytes;
  std::string out;
  std::string_view rest = pending_;
  while (!rest.empty()) {
    const size_t valid = valid_utf8_prefix(rest);
    out += rest.substr(0, valid);
    rest.remove_prefix(valid);
    if (rest.empty()) break;
    const Utf8Step step = utf8_step(rest);
    if (step.kind == Utf8Step::kIncomplete) break;
    out += kReplacement;
    rest.remove_prefix(step.length);
  }
  pending_ = std::string(rest);
  return out;
}

std::string StreamDecoder::finish() {
  const bool unfinished = !pending_.empty();
  pending_.clear();
  return std::string(unfinished ? kReplacement : "");
}

}  // namespace st

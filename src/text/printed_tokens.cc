#include "text/printed_tokens.h"

#include "base/error.h"
#include "text/bpe.h"
#include "text/sentencepiece.h"

namespace st {
namespace {

std::string printed(const Vocab& vocab, size_t id) {
  const std::string& text = vocab.tokens[id];
  const TokenType type = vocab.types[id];
  if (type == TokenType::kUnused) return {};
  if (vocab.kind == TokenizerKind::kSentencePiece) {
    if (type != TokenType::kByte) return with_blanks(text);
    const auto byte = byte_of_piece(text);
    if (!byte) {
      fail(ErrorCode::kInvalidData, "tokens[{}]: '{}' is no byte, want <0x00>..<0xFF>", id,
           printable(text));
    }
    return std::string(1, static_cast<char>(*byte));
  }
  return type == TokenType::kNormal ? alphabet_to_bytes(text).value_or(text) : text;
}

}  // namespace

PrintedTokens::PrintedTokens(const Vocab& vocab) {
  ends_.reserve(vocab.tokens.size());
  for (size_t id = 0; id < vocab.tokens.size(); ++id) {
    bytes_ += printed(vocab, id);
    ends_.push_back(bytes_.size());
  }
}

}  // namespace st

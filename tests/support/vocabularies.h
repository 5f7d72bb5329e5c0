// What the tests of this folder share.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "format/gguf.h"
#include "support/bytes.h"
#include "support/shipped.h"
#include "text/bpe.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

namespace st::testkit {

inline const std::string kTinyFolder = shipped("model");
inline const std::string kGoldenFolder = shipped("golden");

inline const Tokenizer& tiny_tokenizer() {
  static const Tokenizer tokenizer(read_hf_vocab(kTinyFolder, 4096));
  return tokenizer;
}

inline void add_token(Vocab& vocab, std::string text, TokenType type) {
  vocab.tokens.push_back(std::move(text));
  vocab.types.push_back(type);
}

// The 256 bytes, each token's id being its byte, and `merges` with their results from 256 on.
inline Vocab byte_vocab(const std::vector<std::string>& merges = {}) {
  Vocab vocab;
  for (unsigned byte = 0; byte < 256; ++byte) {
    add_token(vocab, byte_to_char(static_cast<uint8_t>(byte)), TokenType::kNormal);
  }
  for (const std::string& merge : merges) {
    std::string result = merge;
    result.erase(result.find(' '), 1);
    add_token(vocab, result, TokenType::kNormal);
  }
  vocab.merges = merges;
  return vocab;
}

// SentencePiece's kind: the 256 bytes, each token's id being its byte, and `pieces` from 256 on,
// the best first.
inline Vocab piece_vocab(const std::vector<std::string>& pieces = {}) {
  Vocab vocab;
  vocab.kind = TokenizerKind::kSentencePiece;
  for (int byte = 0; byte < 256; ++byte) {
    add_token(vocab, fmt::format("<0x{:02X}>", byte), TokenType::kByte);
  }
  for (const std::string& piece : pieces) add_token(vocab, piece, TokenType::kNormal);
  for (size_t id = 0; id < vocab.tokens.size(); ++id) {
    vocab.scores.push_back(id < 256 ? 0 : -static_cast<float>(id));
  }
  return vocab;
}

// What `writer` would write, read back.
inline GgufFile written(GgufWriter& writer) {
  const std::string path = ::testing::TempDir() + "/text_test.gguf";
  writer.begin(path);
  writer.finish();
  std::string bytes = read_text_file(path);
  std::filesystem::remove(path);
  return GgufFile(source_of(std::move(bytes)));
}

}  // namespace st::testkit

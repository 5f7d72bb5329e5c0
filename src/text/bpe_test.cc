#include "text/bpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "support/vocabularies.h"

namespace st {
namespace {

using testkit::add_token;
using testkit::byte_vocab;
using testkit::error_of;

// The definition, word for word: O(n^2).
std::vector<Token> naive_encode(const Vocab& vocab, std::string_view piece) {
  std::vector<std::string> parts;
  for (const char c : piece) parts.push_back(byte_to_char(static_cast<uint8_t>(c)));
  for (;;) {
    size_t best = vocab.merges.size(), at = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto it = std::ranges::find(vocab.merges, parts[i] + ' ' + parts[i + 1]);
      const auto rank = static_cast<size_t>(it - vocab.merges.begin());
      if (rank < best) best = rank, at = i;
    }
    if (best == vocab.merges.size()) break;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
  std::vector<Token> tokens;
  for (const std::string& part : parts) {
    tokens.push_back(
        static_cast<Token>(std::ranges::find(vocab.tokens, part) - vocab.tokens.begin()));
  }
  return tokens;
}

// Merges of random earlier pieces over the letters a, b, c, in random order.
Vocab random_vocab(std::mt19937& random, size_t count) {
  std::vector<std::string> pieces = {"a", "b", "c"}, merges;
  while (merges.size() < count) {
    const std::string& left = pieces[random() % pieces.size()];
    const std::string& right = pieces[random() % pieces.size()];
    if (std::ranges::count(pieces, left + right) > 0) continue;
    merges.push_back(left + ' ' + right);
    pieces.push_back(left + right);
  }
  std::ranges::shuffle(merges, random);
  return byte_vocab(merges);
}

TEST(Bpe, AgreesWithTheDefinition) {
  std::mt19937 random(3);
  for (int round = 0; round < 60; ++round) {
    const Vocab vocab = random_vocab(random, 1 + random() % 40);
    const Bpe bpe(vocab);
    // Lengths on both sides of the change of method, and far from it.
    for (const size_t length : {0u, 1u, 2u, 3u, 7u, 31u, 32u, 33u, 34u, 100u, 257u}) {
      std::string piece;
      while (piece.size() < length) piece += "abc"[random() % 3];
      std::vector<Token> tokens;
      bpe.encode(piece, tokens);
      ASSERT_EQ(tokens, naive_encode(vocab, piece)) << piece;
    }
  }
}

TEST(Bpe, MergesTheLeftmostOfEqualPairs) {
  for (const size_t length : {3u, 33u}) {
    std::vector<Token> tokens;
    Bpe(byte_vocab({"a a"})).encode(std::string(length, 'a'), tokens);
    std::vector<Token> want(length / 2, 256);
    want.push_back('a');
    EXPECT_EQ(tokens, want);
  }
}

TEST(Bpe, PrefersTheLowerRank) {
  std::vector<Token> tokens;
  Bpe(byte_vocab({"b c", "a b"})).encode("abc", tokens);
  EXPECT_EQ(tokens, (std::vector<Token>{'a', 256}));
}

TEST(Bpe, AppendsTokensOfAllBytes) {
  std::string piece;
  for (int byte = 0; byte < 256; ++byte) piece += static_cast<char>(byte);
  std::vector<Token> tokens = {7}, want = {7};
  Bpe(byte_vocab()).encode(piece, tokens);
  for (Token byte = 0; byte < 256; ++byte) want.push_back(byte);
  EXPECT_EQ(tokens, want);
}

std::string error_with(const std::vector<std::string>& merges) {
  Vocab vocab = byte_vocab({"a b"});
  vocab.merges = merges;
  return error_of([&] { Bpe{vocab}; });
}

TEST(Bpe, RefusesMergesThatCannotWork) {
  EXPECT_EQ(error_with({"a b"}), "no error");
  EXPECT_EQ(error_with({"a b", "a c"}), "merges[1]: 'ac' not in vocab");
  EXPECT_EQ(error_with({"a bb"}), "merges[0]: 'bb' not in vocab");
  EXPECT_EQ(error_with({"x\x1b y"}), "merges[0]: 'x\\x1b' not in vocab");
  EXPECT_EQ(error_with({"ab"}), "merges[0]: want two pieces and a space, got 'ab'");
  EXPECT_EQ(error_with({""}), "merges[0]: want two pieces and a space, got ''");
  EXPECT_EQ(error_with({"a b c"}), "merges[0]: want two pieces and a space, got 'a b c'");
  EXPECT_EQ(error_with({" a"}), "merges[0]: '' not in vocab");
  EXPECT_EQ(error_with({"a "}), "merges[0]: '' not in vocab");
  EXPECT_EQ(error_with({"a b", "a b"}), "merges[1]: repeats merges[0]");
  EXPECT_EQ(error_with({"a b", "a " + std::string(1 << 20, 'b')}).size(), 157u);  // cut
}

TEST(Bpe, RefusesIncompleteAndRepeatedTokens) {
  Vocab vocab = byte_vocab();
  vocab.tokens['A'] = "AA";
  EXPECT_EQ(error_of([&] { Bpe{vocab}; }), "tokens: none for byte 0x41");
  vocab.tokens['A'] = "B";
  EXPECT_EQ(error_of([&] { Bpe{vocab}; }), "tokens[66]: 'B' is also token 65");
  vocab = byte_vocab();
  vocab.types['A'] = TokenType::kUnused;
  EXPECT_EQ(error_of([&] { Bpe{vocab}; }), "tokens: none for byte 0x41");
}

TEST(Bpe, UnusedRowsMayRepeat) {
  Vocab vocab = byte_vocab();
  for (int i = 0; i < 3; ++i) add_token(vocab, "a", TokenType::kUnused);
  EXPECT_EQ(error_of([&] { Bpe{vocab}; }), "no error");
}

}  // namespace
}  // namespace st

// What a model makes of a text, to compare another one with: log-probabilities of every token of
// the vocabulary, in 16 bits, after each token of the second half of each window. The file is that
// of llama.cpp's --kl-divergence-base, little-endian:
//
//   "_logits_"  i32 window  i32 vocab (V)  i32 windows  i32 tokens[windows * window]
//   for each row: f32 scale  f32 least  u16 q[V]  and another u16 if V is odd
//
// A token's log-probability is scale * q + least, of at most 16 below the likeliest one's; what is
// less likely counts as that. Rows are those after tokens window / 2 .. window - 2 of a window.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "text/vocab.h"

namespace st {

struct SavedLogitsShape {
  int64_t window = 0, vocab = 0, windows = 0;

  // Whether there is a row of what comes before `target`, a place in a window.
  bool has_row(int64_t target) const { return target > window / 2; }
  int64_t rows() const { return windows * (window - 1 - window / 2); }
  uint64_t row_bytes() const { return 8 + static_cast<uint64_t>(vocab + vocab % 2) * 2; }
};

class SavedLogitsWriter {
 public:
  // tokens: (windows * window). Throws Error(kIo | kInvalidUsage).
  SavedLogitsWriter(const std::string& path, const SavedLogitsShape& shape,
                    std::span<const Token> tokens);

  void add(std::span<const float> logits);  // the next row: (V)
  void finish();                            // the file appears. REQUIRES: it has all rows

 private:
  const SavedLogitsShape shape_;
  AtomicFile file_;
  std::vector<std::byte> row_;
};

class SavedLogits {
 public:
  // Throws Error(kNotFound | kInvalidData), with the path, for what is no such file.
  explicit SavedLogits(const std::string& path);
  // `name`: for messages.
  SavedLogits(std::shared_ptr<const ByteSource> source, std::string name);

  const SavedLogitsShape& shape() const { return shape_; }
  const std::vector<Token>& tokens() const { return tokens_; }

  // Log-probabilities of the next row: (V), valid until the next call. Throws Error(kInvalidData).
  std::span<const float> next();

 private:
  void read_header();

  const std::shared_ptr<const ByteSource> source_;
  const std::string name_;
  SavedLogitsShape shape_;
  std::vector<Token> tokens_;
  uint64_t at_ = 0;  // of the next row
  int64_t row_ = 0;
  std::vector<std::byte> bytes_;
  std::vector<float> values_;
};

}  // namespace st

#include "study/saved_logits.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "support/bytes.h"
#include "support/temporary_folder.h"

namespace st {
namespace {

using testkit::error_of;

constexpr SavedLogitsShape kShape{.window = 5, .vocab = 3, .windows = 2};
const std::vector<Token> kTokens{0, 1, 2, 0, 1, 2, 2, 1, 0, 0};

const TemporaryFolder& folder() {
  static const TemporaryFolder folder;
  return folder;
}

// Its four rows: two of each window, of what comes at the places 3 and 4.
std::string written(const std::string& name) {
  std::string path = folder() / name;
  SavedLogitsWriter out(path, kShape, kTokens);
  out.add(std::array{1.0f, 2.0f, 3.0f});
  out.add(std::array{0.0f, -50.0f, 0.0f});  // beyond what is told apart
  out.add(std::array{7.0f, 7.0f, 7.0f});
  out.add(std::array{-1.0f, 0.5f, 0.25f});
  out.finish();
  return path;
}

TEST(SavedLogits, AreReadAsTheyWereWritten) {
  SavedLogits in(written("logits.bin"));
  EXPECT_EQ(in.shape().window, 5);
  EXPECT_EQ(in.shape().vocab, 3);
  EXPECT_EQ(in.shape().windows, 2);
  EXPECT_EQ(in.shape().rows(), 4);
  EXPECT_FALSE(in.shape().has_row(2));
  EXPECT_TRUE(in.shape().has_row(3));
  EXPECT_EQ(in.tokens(), kTokens);
  const auto expect_row = [&](std::array<double, 3> logits, double least) {
    double sum = 0;
    for (const double logit : logits) sum += std::exp(logit);
    const auto got = in.next();
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(got[i], std::max(logits[i] - std::log(sum), least), 16.0 / 65535) << i;
    }
  };
  expect_row({1, 2, 3}, -100);
  expect_row({0, -50, 0}, -16 - std::log(2));
  expect_row({7, 7, 7}, -100);
  expect_row({-1, 0.5, 0.25}, -100);
}

// The bytes that llama.cpp's rules give: magic, three numbers, tokens, then rows of a scale, the
// least value, and 16 bits for each token and one more where they are an odd number.
TEST(SavedLogits, Layout) {
  const std::string bytes = read_text_file(written("layout.bin"));
  ASSERT_EQ(bytes.size(), 8 + 3 * 4 + 10 * 4 + 4 * (8 + 4 * 2));
  EXPECT_EQ(bytes.substr(0, 8), "_logits_");
  const auto i32 = [&](size_t at) {
    int32_t value;
    std::memcpy(&value, bytes.data() + at, 4);
    return value;
  };
  EXPECT_EQ(i32(8), 5);
  EXPECT_EQ(i32(12), 3);
  EXPECT_EQ(i32(16), 2);
  EXPECT_EQ(i32(20 + 4 * 5), 2);
  float scale, least;
  uint16_t q[4];
  std::memcpy(&scale, bytes.data() + 60, 4);
  std::memcpy(&least, bytes.data() + 64, 4);
  std::memcpy(q, bytes.data() + 68, 8);
  EXPECT_FLOAT_EQ(scale, 2.0f / 65535);
  EXPECT_FLOAT_EQ(least, static_cast<float>(-2 - std::log(1 + std::exp(-1) + std::exp(-2))));
  EXPECT_EQ(q[0], 0);
  EXPECT_NEAR(q[1], 32767.5, 1);
  EXPECT_EQ(q[2], 65535);
  EXPECT_EQ(q[3], 0);
}

TEST(SavedLogits, NothingToSave) {
  EXPECT_EQ(error_of([] { SavedLogitsWriter(folder() / "x", {5, 3, 0}, {}); }),
            "no logits to save: want a text of a whole window, and windows of 3 tokens or more");
  EXPECT_EQ(error_of([] { SavedLogitsWriter(folder() / "x", {2, 3, 1}, {}); }),
            "no logits to save: want a text of a whole window, and windows of 3 tokens or more");
}

template <typename T>
std::string with(std::string bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof(T));
  return bytes;
}

TEST(SavedLogits, WhatIsNoneIsRefused) {
  const std::string good = read_text_file(written("good.bin"));
  const std::string path = folder() / "bad.bin";
  const auto error = [&](const std::string& bytes) {
    AtomicFile file(path);
    file.write(std::as_bytes(std::span(bytes)));
    file.commit();
    return error_of([&] {
      SavedLogits in(path);
      for (int64_t i = 0; i < in.shape().rows(); ++i) in.next();
    });
  };
  EXPECT_EQ(error(good), "no error");
  const std::string none = path + ": has no saved logits: does not begin with '_logits_'";
  EXPECT_EQ(error(""), none);
  EXPECT_EQ(error(with(good, 0, 'x')), none);
  EXPECT_EQ(error(good.substr(0, 14)),
            path + ": truncated: need 4 bytes for vocabulary at 12, 2 left");
  EXPECT_EQ(error(with(good, 8, int32_t{2})), path + ": window 2: want 3..134217728");
  EXPECT_EQ(error(with(good, 12, int32_t{0})), path + ": vocabulary 0: want 1..16777216");
  EXPECT_EQ(error(with(good, 16, int32_t{-1})), path + ": windows -1: want 1..2147483647");
  EXPECT_EQ(error(with(good, 16, INT32_MAX)),
            path + ": 124 bytes, want 111669149664 for 2147483647 windows of 5 tokens");
  EXPECT_EQ(error(good + "x"), path + ": 125 bytes, want 124 for 2 windows of 5 tokens");
  EXPECT_EQ(error(good.substr(0, 123)), path + ": 123 bytes, want 124 for 2 windows of 5 tokens");
  EXPECT_EQ(error(with(good, 20 + 4 * 3, int32_t{3})), path + ": token 3 is 3: want 0..2");
  EXPECT_EQ(error(with(good, 20, int32_t{-1})), path + ": token 0 is -1: want 0..2");
  EXPECT_EQ(error(with(good, 60 + 16, -1.0f)),
            path + ": row 1: scale -1 and least value -16.693148 are not possible");
  EXPECT_EQ(error(with(good, 64, std::numeric_limits<float>::quiet_NaN())),
            path + ": row 0: scale 3.0518044e-05 and least value nan are not possible");
  EXPECT_EQ(error_of([] { SavedLogits(folder() / "none.bin"); }),
            folder() / "none.bin" + ": cannot open: No such file or directory");
}

}  // namespace
}  // namespace st

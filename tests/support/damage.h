// Texts that are cut off or changed: whatever reads them throws an Error or gets something sound,
// nothing else.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

#include "base/error.h"

namespace st::testkit {

// Read `good` as it is, which is taken; cut off at every `step`-th byte, which is refused; and
// `rounds` times with two bytes at random. read(text): whether what was read is sound.
template <typename Read>
void expect_survives_damage(const std::string& good, size_t step, int rounds, uint32_t seed,
                            const Read& read) {
  const auto taken = [&](const std::string& text) {
    try {
      return read(text);
    } catch (const Error&) {
      return false;
    }
  };
  EXPECT_TRUE(taken(good));
  for (size_t n = 0; n < good.size(); n += step) EXPECT_FALSE(taken(good.substr(0, n))) << n;
  std::mt19937 random(seed);
  for (int round = 0; round < rounds; ++round) {
    std::string text = good;
    for (int i = 0; i < 2; ++i) text[random() % text.size()] = static_cast<char>(random());
    taken(text);
  }
}

}  // namespace st::testkit

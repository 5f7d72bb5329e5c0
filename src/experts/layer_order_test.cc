#include "experts/layer_order.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace st {
namespace {

TEST(LayersThatStay, AreAllButBuffersAndWhatStreams) {
  for (const int64_t layers : {1, 2, 3, 28, 36, 64}) {
    for (int64_t room = 0; room <= layers + 2; ++room) {
      const auto stay = layers_that_stay(layers, room);
      ASSERT_EQ(std::ssize(stay), layers);
      EXPECT_EQ(std::ranges::count(stay, true),
                room >= layers ? layers : std::max<int64_t>(0, room - kStreamBuffers))
          << layers << " " << room;
    }
  }
}

TEST(LayersThatStay, AreFewerOfTheSameWithLessRoom) {
  for (int64_t room = 36; room > 0; --room) {
    const auto more = layers_that_stay(36, room), fewer = layers_that_stay(36, room - 1);
    for (size_t l = 0; l < 36; ++l) EXPECT_LE(fewer[l], more[l]) << room << " " << l;
  }
}

// Between two that stream, round the end, lie at most twice as many layers as on average, and the
// one that rounding to whole layers makes.
TEST(LayersThatStay, LieBetweenThoseThatStream) {
  for (const int64_t layers : {28, 36, 64}) {
    for (int64_t room = 2; room < layers; ++room) {
      const auto stay = layers_that_stay(layers, room);
      const int64_t streaming = std::ranges::count(stay, false);
      int64_t run = 0, longest = 0;
      for (int64_t l = 0; l < 2 * layers; ++l) {
        run = stay[static_cast<size_t>(l % layers)] ? run + 1 : 0;
        longest = std::max(longest, run);
      }
      EXPECT_LE(longest, 2 * layers / streaming + 1) << layers << " " << room;
    }
  }
}

}  // namespace
}  // namespace st

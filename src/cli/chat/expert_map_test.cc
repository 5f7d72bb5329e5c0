#include "cli/chat/expert_map.h"

#include <gtest/gtest.h>

namespace st {
namespace {

TEST(ExpertUses, AreMultiplesOfAnEvenUse) {
  ExpertUses uses;
  EXPECT_EQ(uses.of(3, 1, 8), 0);
  for (int token = 0; token < 1000; ++token) {
    uses.count(3, std::vector<int32_t>{1, token % 2 == 0 ? 2 : 5});
  }
  EXPECT_NEAR(uses.of(3, 1, 8), 4, 0.01);
  EXPECT_NEAR(uses.of(3, 2, 8), 2, 0.01);
  EXPECT_NEAR(uses.of(3, 5, 8), 2, 0.01);
  EXPECT_EQ(uses.of(3, 0, 8), 0);
  EXPECT_EQ(uses.of(2, 1, 8), 0);
  for (int token = 0; token < 5000; ++token) uses.count(3, std::vector<int32_t>{6});
  EXPECT_NEAR(uses.of(3, 6, 8), 8, 0.01);
  EXPECT_NEAR(uses.of(3, 1, 8), 0, 0.01);
}

TEST(ExpertMap, HasALineForEachLayer) {
  const ExpertMap map{{{{true, 0}, {true, 0.1f}, {true, 1}, {true, 3}},
                       {{false, 0}, {false, 0.1f}, {false, 1}, {false, 3}}}};
  const std::string drawn = draw(map, 80, false);
  EXPECT_EQ(drawn.substr(0, drawn.find("a line a layer")), "   0  -=*#\n   1  ..o!\n");
  EXPECT_EQ(drawn.substr(drawn.find("a line")),
            "a line a layer, a cell an expert; how much it was used lately:\n"
            "in memory: - not used  = little  * usual  # much  \n"
            "in the file: . not used or little  o usual  ! much  \n");
}

TEST(ExpertMap, TwoLayersShareALineInColours) {
  ExpertMap map;
  map.layers.resize(3, std::vector<ExpertCell>(2));
  map.layers[1][0] = {false, 9};
  const std::string drawn = draw(map, 80, true);
  EXPECT_EQ(drawn.substr(0, drawn.find("half a line a layer")),
            "   0  \x1b[38;5;17;48;5;124m\u2580\x1b[38;5;17;48;5;17m\u2580\x1b[0m\n"
            "   2  \x1b[38;5;17;48;5;16m\u2580\x1b[38;5;17;48;5;16m\u2580\x1b[0m\n");
}

TEST(ExpertMap, NeighboursShareACellWhereThereIsNoRoom) {
  ExpertMap map{{std::vector<ExpertCell>(128)}};
  map.layers[0][3].use = 9;
  const std::string drawn = draw(map, 70, false);
  EXPECT_EQ(drawn.substr(0, drawn.find('\n')), "   0  -#" + std::string(62, '-'));
  EXPECT_NE(drawn.find("\n2 experts a cell, the most used of them\n"), drawn.npos);
}

}  // namespace
}  // namespace st

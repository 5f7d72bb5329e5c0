#include "text/stop_texts.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json.h"
#include "support/shipped.h"

namespace st {
namespace {

struct Shown {
  std::string text;
  bool stopped;
  bool operator==(const Shown&) const = default;
};

// `text` in pieces of n bytes.
Shown shown(const std::vector<std::string>& stops, std::string_view text, size_t n) {
  StopTexts filter(stops);
  std::string out;
  for (size_t i = 0; i < text.size(); i += n) out += filter.push(text.substr(i, n));
  out += filter.finish();
  return {out, filter.stopped()};
}

TEST(StopTexts, EndBeforeTheFirstHoweverTheTextIsCut) {
  for (const size_t n : {1, 2, 3, 5, 100}) {
    EXPECT_EQ(shown({}, "all of it", n), (Shown{"all of it", false})) << n;
    EXPECT_EQ(shown({"User:"}, "Hello\nUser: me", n), (Shown{"Hello\n", true})) << n;
    EXPECT_EQ(shown({"User:"}, "Hello Us", n), (Shown{"Hello Us", false})) << n;
    EXPECT_EQ(shown({"aab"}, "aaaab", n), (Shown{"aa", true})) << n;
    EXPECT_EQ(shown({"END", "\n\n"}, "one\n\ntwo END", n), (Shown{"one", true})) << n;
    EXPECT_EQ(shown({"x"}, "x", n), (Shown{"", true})) << n;
  }
}

TEST(StopTexts, CasesOfChatsHoweverTheyAreCut) {
  const auto cases = parse_json(read_text_file(testkit::test_data("chat/stop.json")));
  ASSERT_EQ(cases.size(), 14u);
  for (const auto& item : cases) {
    const auto stops = item["stop"].get<std::vector<std::string>>();
    const Shown want = {item["expect"], item["stopped"]};
    StopTexts filter(stops);
    std::string out, text;
    for (const std::string piece : item["pieces"]) {
      out += filter.push(piece);
      text += piece;
    }
    out += filter.finish();
    EXPECT_EQ((Shown{out, filter.stopped()}), want) << item["id"];
    for (size_t n = 1; n <= text.size(); ++n) {
      EXPECT_EQ(shown(stops, text, n), want) << item["id"] << " by " << n;
    }
  }
}

TEST(StopTexts, HoldBackNoMoreThanMayBecomeOne) {
  StopTexts filter({"<|end|>"});
  EXPECT_EQ(filter.push("a<|e"), "a");
  EXPECT_EQ(filter.push("lse"), "<|else");
  EXPECT_EQ(filter.push("<|end"), "");
  EXPECT_EQ(filter.finish(), "<|end");
}

// Overlapping ones, in any order of the list.
TEST(StopTexts, TheOneThatIsWholeFirstCounts) {
  for (const size_t n : {1, 2, 100}) {
    EXPECT_EQ(shown({"bc", "ab"}, "xabc", n), (Shown{"x", true})) << n;
    EXPECT_EQ(shown({"abc", "b"}, "xabc", n), (Shown{"xa", true})) << n;
    EXPECT_EQ(shown({"c", "abc"}, "xabc", n), (Shown{"x", true})) << n;
    EXPECT_EQ(shown({"abac", "zz"}, "xababac", n), (Shown{"xab", true})) << n;
  }
}

}  // namespace
}  // namespace st

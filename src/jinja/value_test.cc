#include "jinja/value.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "jinja/budget.h"
#include "jinja/number_text.h"
#include "jinja/text_of.h"

namespace st::jinja {
namespace {

Value text(std::string_view bytes) { return Value::text(bytes, true); }

TEST(Value, DictKeepsTheFirstPlaceAndTheLastValue) {
  const Value dict = Value::dict({{text("b"), int64_t{1}},
                                  {text("a"), int64_t{2}},
                                  {text("b"), int64_t{3}},
                                  {int64_t{1}, int64_t{4}},
                                  {true, int64_t{5}},
                                  {1.0, int64_t{6}}});
  Budget budget({});
  EXPECT_EQ(text_of(dict, budget).bytes, "{'b': 3, 'a': 2, 1: 6}");
  EXPECT_EQ(dict.as_dict().find(text("a"))->as_int(), 2);
  EXPECT_EQ(dict.as_dict().find(Value(1.0))->as_int(), 6);
  EXPECT_EQ(dict.as_dict().find(text("c")), nullptr);
  EXPECT_THROW(Value::dict({{Value::list({}), None{}}}), Error);
}

TEST(Value, FromJson) {
  const Value value = Value::from_json(R"({"z": [1, 1.0, true, null, "\u00e9"], "a": {}})", false);
  Budget budget({});
  EXPECT_EQ(text_of(value, budget).bytes, "{'z': [1, 1.0, True, None, 'é'], 'a': {}}");
  EXPECT_EQ(value.depth(), 2);
  const Value& letter = value.as_dict().find(text("z"))->as_sequence().items[4];
  EXPECT_EQ(letter.as_string().text.runs, (std::vector<MarkedText::Run>{{2, false}}));
  EXPECT_TRUE(Value::from_json("\"a\"", true).as_string().text.runs[0].trusted);
}

// As repr() of Python prints them.
TEST(NumberText, Floats) {
  const std::pair<double, std::string_view> kFloats[] = {
      {1, "1.0"},
      {0.1, "0.1"},
      {1e3, "1000.0"},
      {1e16, "1e+16"},
      {1.5e-7, "1.5e-07"},
      {1e-4, "0.0001"},
      {1e-5, "1e-05"},
      {123456.789, "123456.789"},
      {-0.0, "-0.0"},
      {1e22, "1e+22"},
      {9007199254740993.0, "9007199254740992.0"},
      {5e-324, "5e-324"},
      {1e300, "1e+300"},
      {1.7976931348623157e308, "1.7976931348623157e+308"},
  };
  for (const auto& [value, want] : kFloats) EXPECT_EQ(float_text(value), want);
  EXPECT_EQ(float_text(-std::numeric_limits<double>::infinity()), "-inf");
  EXPECT_EQ(float_text(std::nan("")), "nan");
}

TEST(NumberText, ParseFloat) {
  EXPECT_EQ(parse_float("1.5"), 1.5);
  EXPECT_EQ(parse_float("-.5e1"), -5.0);
  EXPECT_EQ(parse_float("1."), 1.0);
  EXPECT_TRUE(std::isinf(*parse_float("+Infinity")));
  for (const char* wrong : {"", ".", "1e", "0x1", "1 ", "nano", "e5", "1.5.2"}) {
    EXPECT_EQ(parse_float(wrong), std::nullopt) << wrong;
  }
}

}  // namespace
}  // namespace st::jinja

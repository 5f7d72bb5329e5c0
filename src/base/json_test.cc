#include "base/json.h"

#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_keys.h"

namespace st {
namespace {

using nlohmann::json;

std::string repeat(std::string_view text, size_t times) {
  std::string result;
  for (size_t i = 0; i < times; ++i) result += text;
  return result;
}

template <typename Body>
std::string error_of(Body body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Json, RefusesWhatIsAmbiguousOrTooDeep) {
  EXPECT_EQ(parse_json(R"({"a": [1, {"b": null}]})")["a"][0], 1);
  EXPECT_EQ(error_of([] { parse_json(R"({"a": 1, "a": 2})"); }), "duplicate key 'a'");
  EXPECT_NO_THROW(parse_json(R"([{"a": 1}, {"a": 2}])"));
  EXPECT_EQ(error_of([] { parse_json("{\"a\": "); }), "invalid JSON at byte 7 (line 1, column 7)");
  EXPECT_EQ(error_of([] { parse_json(std::string(100'000, '[')); }), "JSON nested deeper than 64");
  EXPECT_EQ(error_of([] { parse_json("\"\xff\""); }), "invalid JSON at byte 2 (line 1, column 2)");
  EXPECT_EQ(error_of([] { parse_json("{\"a\":\n 1e999}"); }),
            "number 1e999 at byte 12 (line 2, column 6) is out of range");
  EXPECT_EQ(error_of([] { parse_json(std::string_view("{}\0junk", 7)); }),
            "invalid JSON at byte 3 (line 1, column 3)");
}

TEST(Json, KeepsTheOrderOfKeysIfAsked) {
  const std::string text = R"({"b":{"z":1.0,"a":[1,{"y":null,"x":true}]},"a":"\u00e9"})";
  EXPECT_EQ(parse_ordered_json(text).dump(),
            R"({"b":{"z":1.0,"a":[1,{"y":null,"x":true}]},"a":"é"})");
  EXPECT_EQ(error_of([] { parse_ordered_json(R"({"a": {"b": 1, "c": 2, "b": 3}})"); }),
            "duplicate key 'b'");
  EXPECT_EQ(error_of([] { parse_ordered_json("[1"); }),
            "invalid JSON at byte 3 (line 1, column 3)");
  // No search among the keys before: as many as there may be are a matter of milliseconds.
  std::string many = "{\"\":0";
  for (int i = 0; i < 100'000; ++i) many += fmt::format(",\"{}\":0", i);
  EXPECT_EQ(parse_ordered_json(many + "}").size(), 100'001u);
}

TEST(Json, NamesTheKeyAtFault) {
  const auto object = parse_json(R"({"n": 3, "s": "x", "big": 18446744073709551615, "f": 1.5})");
  EXPECT_EQ(get_int(object, "n", 0, 10), 3);
  EXPECT_EQ(find_int(object, "none", 0, 10, 7), 7);
  EXPECT_EQ(error_of([&] { get_int(object, "n", 5, 10); }), "n: want an integer in 5..10, got 3");
  EXPECT_EQ(error_of([&] { get_int(object, "s", 0, 10); }),
            "s: want an integer in 0..10, got \"x\"");
  EXPECT_NE(error_of([&] { get_int(object, "big", -5, 10); }), "");
  EXPECT_EQ(error_of([&] { get_int(object, "none", 0, 1); }), "none: missing");
  EXPECT_EQ(find_number(object, "f", 0, 9, 0), 1.5);
  EXPECT_EQ(error_of([&] { find_number(object, "f", 2, 9, 0); }),
            "f: want a number in 2..9, got 1.5");
  EXPECT_EQ(error_of([&] { find_bool(object, "n", true); }), "n: want true or false, got 3");
  EXPECT_EQ(error_of([&] { int_array(parse_json("[0, 2]"), "layout", 0, 1); }),
            "layout[1]: want an integer in 0..1, got 2");
}

TEST(Json, ReadsWhatPythonWritesForNumbersThatAreNone) {
  const json read = parse_json(R"({"a": NaN, "b": [-Infinity, Infinity], "NaN": "\\\" NaN"})");
  EXPECT_EQ(read, json({{"a", "NaN"}, {"b", {"-Infinity", "Infinity"}}, {"NaN", "\\\" NaN"}}));
  EXPECT_EQ(parse_json("NaN"), "NaN");
  EXPECT_EQ(error_of([] { find_number(parse_json(R"({"eps": NaN})"), "eps", 0, 1, 0); }),
            "eps: want a number in 0..1, got \"NaN\"");
  // The place is that of the file.
  EXPECT_EQ(error_of([] { parse_json("{\"a\": NaN,\n \"b\": [NaN, Infinity, ?"); }),
            "invalid JSON at byte 34 (line 2, column 23)");
  EXPECT_EQ(error_of([] { parse_json("[NaNa]"); }), "invalid JSON at byte 5 (line 1, column 5)");
}

TEST(Json, ManyValuesAreRefusedWhereverTheyAre) {
  const std::string many = repeat("[],", 131'072);
  EXPECT_EQ(error_of([&] { parse_json("[" + many + "1]"); }), "JSON of more than 131072 values");
  EXPECT_EQ(error_of([&] { parse_json("{\"a\":[" + many + "1]}"); }),
            "JSON of more than 131072 values");
  EXPECT_NO_THROW(parse_json("[" + repeat("1,", 131'070) + "1]"));
  EXPECT_EQ(error_of([] { parse_json("[" + repeat("1,", 131'071) + "1]"); }),
            "JSON of more than 131072 values");
}

TEST(Json, LongTokensAreRefusedWhetherTheyEndOrNot) {
  constexpr size_t kMost = size_t{1} << 24;
  const auto refusal = [](std::string_view place) {
    return fmt::format("JSON with a token of more than 16777216 bytes at {}", place);
  };
  const std::string most = "\"" + std::string(kMost - 1, 'x') + "\"";
  EXPECT_EQ(parse_json("[" + most + "]")[0].get<std::string>().size(), kMost - 1);
  for (const std::string end : {"", "\"]", "\\"}) {
    EXPECT_EQ(error_of([&] { parse_json("[\n\"" + std::string(kMost, 'x') + end); }),
              end.empty() ? "invalid JSON at byte 16777220 (line 2, column 16777218)"
                          : refusal("byte 3 (line 2, column 1)"));
  }
  EXPECT_EQ(error_of([] { parse_json("[" + std::string(kMost + 1, '1') + "x"); }),
            refusal("byte 1 (line 1, column 1)"));
  EXPECT_EQ(error_of([] { parse_json("[1" + std::string(kMost + 1, ' ') + "x"); }),
            refusal("byte 1 (line 1, column 1)"));
}

TEST(Json, ElementsOfAStreamAreGivenAwayAndNotKept) {
  std::vector<std::string> taken;
  const auto take = [&](const std::string& key, const json& element) {
    taken.push_back(key + "=" + element.dump());
  };
  const std::array<JsonStream, 2> streams = {{{"model", "vocab", take}, {"model", "merges", take}}};
  const json read = parse_json(R"({"model": {"vocab": {"a": 1, "b": {"c": [2]}}, "more": [3],
      "merges": ["x y", ["p", "q"]]}, "vocab": {"kept": 4}, "other": {"merges": [5]}})",
                               streams);
  EXPECT_EQ(taken,
            (std::vector<std::string>{"a=1", R"(b={"c":[2]})", R"(="x y")", R"(=["p","q"])"}));
  EXPECT_EQ(read, json::parse(R"({"model": {"vocab": {}, "more": [3], "merges": []},
                                  "vocab": {"kept": 4}, "other": {"merges": [5]}})"));
  taken.clear();
  const std::string many = repeat("1,", 200'000) + "1";
  parse_json("{\"model\":{\"merges\":[" + many + "]}}", streams);
  EXPECT_EQ(taken.size(), 200'001u);
  EXPECT_EQ(error_of([&] { parse_json("{\"model\":{\"merges\":[[" + many + "]]}}", streams); }),
            "JSON of more than 131072 values");
}

TEST(JsonKeys, JudgesValuesAndUnknownKeys) {
  constexpr std::array<KnownKey, 3> kKnown = {{{"any"}, {"one", "[1, \"x\"]"}, {"none", "[]"}}};
  const auto check = [&](const json& object) { return check_keys(object, kKnown); };
  EXPECT_EQ(check({{"any", 7}, {"one", 1.0}, {"none", nullptr}}), std::vector<std::string>{});
  EXPECT_EQ(check({{"new", nullptr}, {"off", false}, {"empty", json::object()}, {"text", ""}}),
            (std::vector<std::string>{"empty", "new", "off", "text"}));
  EXPECT_EQ(error_of([&] { check({{"one", 2}}); }), "one 2 unsupported, want 1 or \"x\"");
  EXPECT_EQ(error_of([&] { check({{"none", "n\x1b"}}); }),
            "none \"n\\u001b\" unsupported, want null");
  EXPECT_EQ(
      error_of([&] { check({{"new\x1b", 0}}); }),
      "new\\x1b 0 unsupported: the key is unknown and may change the model; remove it from the "
      "file if it does not");
}

}  // namespace
}  // namespace st

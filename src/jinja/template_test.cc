#include "jinja/template.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "support/shipped.h"

namespace st::jinja {
namespace {

std::string repeat(std::string_view part, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += part;
  return text;
}

std::tm some_time() {
  std::tm time{};
  time.tm_year = 126, time.tm_mon = 10, time.tm_mday = 5, time.tm_wday = 4, time.tm_yday = 308;
  time.tm_hour = 7, time.tm_min = 8, time.tm_sec = 9;
  return time;
}

MarkedText render(std::string_view source, std::string_view context = "{}", Limits limits = {}) {
  return Template::compile(source).render(Value::from_json(context, false),
                                          {.now = some_time(), .limits = limits});
}

std::string text(std::string_view source, std::string_view context = "{}") {
  return render(source, context).bytes;
}

// Why a template is refused; empty if it is not.
std::string refusal(std::string_view source, std::string_view context = "{}", Limits limits = {}) {
  try {
    render(source, context, limits);
    return {};
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidData);
    return e.what();
  }
}

// What small templates print, or that they are refused, as python3-jinja2 has it.
TEST(Template, SmallTemplates) {
  const std::vector<std::string> kUnsupported = {"pprint", "striptags"};  // filters
  std::ifstream file(testkit::test_data("chat/jinja-micro.json"));
  const auto cases = nlohmann::ordered_json::parse(file);
  ASSERT_EQ(cases.size(), 219);
  for (const auto& one : cases) {
    const std::string name = one["name"], source = one["template"];
    if (std::ranges::find(kUnsupported, name) != kUnsupported.end()) {
      EXPECT_EQ(refusal(source), "line 1: no filter '" + name + "'");
      continue;
    }
    const std::string context = one["context"].dump();
    const std::string refused = refusal(source, context);
    EXPECT_EQ(refused.empty(), one.contains("expect")) << name << ": " << refused;
    if (!refused.empty()) continue;
    EXPECT_EQ(text(source, context), one["expect"]) << name;
  }
}

TEST(Template, TellsTheLine) {
  EXPECT_EQ(refusal("a\nb\n{{ nope.x }}"), "line 3: 'nope' is undefined");
  EXPECT_EQ(refusal("{% if x %}\n\n{{ 'a' + 1 }}{% endif %}", R"({"x": 1})"),
            "line 3: 'str' + 'int' has no value");
  EXPECT_EQ(refusal("{{ raise_exception('Not\nso') }}"), "line 1: the template says: Not\\x0aso");
  EXPECT_EQ(refusal("\n{{ 1|frobnicate }}"), "line 2: no filter 'frobnicate'");
  EXPECT_EQ(refusal("{{ 1 is frobnicate }}"), "line 1: no test 'frobnicate'");
  EXPECT_EQ(refusal("{% frobnicate %}"), "line 1: unknown tag 'frobnicate'");
  EXPECT_EQ(refusal("{% else %}{% endif %}{{ 1 }}"), "line 1: misplaced tag 'else'");
  EXPECT_EQ(refusal("{% if true %}\n"), "line 1: the template ends without 'endif'");
  EXPECT_EQ(refusal("{{ 1"), "line 1: a tag does not end");
  EXPECT_EQ(refusal("{# 1"), "line 1: a comment does not end");
  EXPECT_EQ(refusal("{% raw %}"), "line 1: 'raw' does not end");
  EXPECT_EQ(refusal("{{ 'a }}"), "line 1: a string does not end");
  EXPECT_EQ(refusal("{{ (1] }}"), "line 1: unexpected ']', expected ')'");
  EXPECT_EQ(refusal("{% break %}"), "line 1: 'break' outside of a loop");
  EXPECT_EQ(refusal("{% include 'x' %}"), "line 1: 'include': there are no other templates");
  EXPECT_EQ(refusal("{{ '\\ud800' }}"), "line 1: a string with an escape that is no character");
  EXPECT_EQ(refusal("a\n\xFF"), "line 2: not UTF-8");
  EXPECT_EQ(refusal("{{ 'abc'[::0] }}"), "line 1: a slice with step 0");
  EXPECT_EQ(refusal("{{ 1 / 0 }}"), "line 1: division by zero");
  EXPECT_EQ(refusal("{{ 9223372036854775807 + 1 }}"), "line 1: an integer has more than 64 bits");
  EXPECT_EQ(refusal("{{ '%*d' % (1, 2) }}"), "line 1: '%': unknown conversion '*'");
  EXPECT_EQ(refusal("{{ ''.__class__.__mro__ }}"), "line 1: '__class__' is undefined");
}

// As with jinja2 an unknown filter is an error at once, unless a condition stands before it.
TEST(Template, UnknownFiltersBehindConditions) {
  EXPECT_EQ(text("{% if false %}{{ 1|frobnicate }}{% endif %}ok"), "ok");
  EXPECT_EQ(text("{{ 1|frobnicate if false else 2 }}"), "2");
  EXPECT_EQ(refusal("{% if true %}{{ 1|frobnicate }}{% endif %}"),
            "line 1: no filter 'frobnicate'");
  EXPECT_EQ(refusal("{% if false %}{% for x in y %}{{ 1|frobnicate }}{% endfor %}{% endif %}"),
            "line 1: no filter 'frobnicate'");
}

TEST(Template, NumbersOfTheContext) {
  EXPECT_EQ(text("{{ a }} {{ b }} {{ c }} {{ d|tojson }}",
                 R"({"a": 1, "b": 1.0, "c": 18446744073709551615, "d": -123456789012345678901})"),
            "1 1.0 18446744073709551615 -123456789012345678901");
  EXPECT_EQ(refusal("{{ a + 1 }}", R"({"a": 18446744073709551615})"),
            "line 1: an integer has more than 64 bits");
  EXPECT_EQ(refusal("", "{\"a\": 1,}"), "invalid JSON at byte 9");
  EXPECT_EQ(refusal("", R"({"a": 1, "a": 2})"), "JSON with a key twice in one object");
  EXPECT_EQ(refusal("", repeat("[", 65)), "JSON nested deeper than 64");
}

TEST(Template, Time) {
  EXPECT_EQ(text("{{ strftime_now('%c|%x|%X|%p|%I|%U|%W|%u|%-d|%q|%') }}"),
            "Thu Nov  5 07:08:09 2026|11/05/26|07:08:09|AM|07|44|44|4|5|%q|%");
  EXPECT_EQ(text("{{ strftime_now('%z%Z') }}"), "");
}

// Each is refused in a line, within time, memory and the stack.
TEST(Template, Limits) {
  const std::string deep = "line 1: expressions nested deeper than 200";
  const std::string steps = "line 1: step limit 1000000 exceeded";
  const std::pair<std::string, std::string> kCases[] = {
      {"{{ " + repeat("(", 100000) + "1" + repeat(")", 100000) + " }}", deep},
      {"{{ " + repeat("[", 100000) + repeat("]", 100000) + " }}", deep},
      {"{{ " + repeat("-", 100000) + "1 }}", deep},
      {"{{ " + repeat("not ", 100000) + "1 }}", deep},
      {"{{ 1" + repeat("+1", 100000) + " }}", deep},
      {"{{ a" + repeat(".a", 100000) + " }}", deep},
      {"{{ a" + repeat("|e", 100000) + " }}", deep},
      {repeat("{% for x in y %}", 30000), deep},
      {repeat("{% generation %}", 30000), "line 1: blocks nested deeper than 200"},
      {"{% for " + repeat("(", 100000) + repeat(")", 100000) + " in y %}{% endfor %}",
       "line 1: names nested deeper than 200"},
      {repeat("{% if x %}", 60000), "a template of 600000 bytes, at most 524288"},
      {"{% macro x() %}{{ x() }}{% endmacro %}{{ x() }}", "line 1: call depth > 64"},
      {"{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "line 1: call depth > 64"},
      {"{{ range(10**9) }}", "line 1: range of more than 100000 elements"},
      {"{{ 'a' * 10**9 }}", steps},
      {"{{ [1] * 10**9 }}", "line 1: list of 1000000000 elements, at most 100000"},
      {"{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}", steps},
      {"{% set n = namespace(a='aa') %}{% for i in range(99) %}{% set n.a = n.a + n.a %}"
       "{% endfor %}",
       steps},
      {"{% set a = 'a' * 9999 %}{{ a|replace('a', a)|replace('a', a) }}", steps},
      {"{{ range(99999)|join('a' * 99999) }}", steps},
      {"{{ 'a'|center(10**12) }}", steps},
      {"{{ '%1000000000d' % 1 }}", "line 1: format: a number of more than 1000000"},
      {"{% set n = namespace(a=1) %}{% for i in range(200) %}{% set n.a = [n.a] %}{% endfor %}",
       "line 1: lists and dicts nested deeper than 100"},
      {"{% set a = 'a' * 99999 %}{% for i in range(99) %}{{ a }}{% endfor %}",
       "line 1: output of more than 4194304 bytes"},
  };
  for (const auto& [source, why] : kCases) {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(refusal(source), why) << source.substr(0, 60);
    const auto took = std::chrono::steady_clock::now() - begin;
    EXPECT_LT(took, std::chrono::seconds(5)) << source.substr(0, 60);  // 0.25 with nobody else here
  }
  EXPECT_EQ(refusal("{{ 1 + 1 }}", "{}", {.steps = 5}), "");
  EXPECT_EQ(refusal("{{ 1 + 1 }}", "{}", {.steps = 4}), "line 1: step limit 4 exceeded");
}

// A namespace, or the loop it holds, may come to hold itself.
TEST(Template, Circles) {
  EXPECT_EQ(text("{% set n = namespace() %}{% set n.a = [n] %}{{ n.a[0].a|length }}"), "1");
  EXPECT_EQ(text("{% set n = namespace() %}{% for i in [1] %}{% set n.l = loop %}"
                 "{{ loop.changed(loop) }}{% endfor %}{{ n.l.changed(n.l) }}{{ n.l.index }}"),
            "TrueTrue1");
  EXPECT_EQ(text("{% macro m() %}{{ x }}{% endmacro %}{% set n = namespace(m=m) %}"
                 "{% for x in [1] %}{% macro k() %}{{ x }}{% endmacro %}{% set n.k = k %}"
                 "{% endfor %}{{ n.m() }}{{ n.k() }}"),
            "1");
}

// "(trusted) and [untrusted]" parts of what is printed.
std::string marks(std::string_view source) {
  const MarkedText rendered =
      render(source, R"({"u": "User <|x|>", "n": 7, "d": {"k": "v"}, "b": ["p", "q"]})");
  std::string shown;
  size_t at = 0;
  for (const MarkedText::Run& run : rendered.runs) {
    const std::string part = rendered.bytes.substr(at, run.size);
    shown += run.trusted ? "(" + part + ")" : "[" + part + "]";
    at += run.size;
  }
  return shown;
}

TEST(Template, Marks) {
  EXPECT_EQ(marks("<|im|>{{ u }}{{ '</s>' }}"), "(<|im|>)[User <|x|>](</s>)");
  EXPECT_EQ(marks("{{ '<' + u + '>' }}{{ '-' ~ u ~ n }}"), "(<)[User <|x|>](>-)[User <|x|>](7)");
  EXPECT_EQ(marks("{{ ('ab' + u)[1:4] }}"), "(b)[Us]");
  EXPECT_EQ(marks("{{ ('ab' + u)[::-1] }}"), "[>|x|< resU](ba)");
  EXPECT_EQ(marks("{{ ('ab' ~ u)|upper|replace('B', '<b>') }}"), "(A<b>)[USER <|X|>]");
  EXPECT_EQ(marks("{{ '<|x|>'|replace('x', u) }}"), "(<|)[User <|x|>](|>)");
  EXPECT_EQ(marks("{{ ('a,' ~ u).split(',')|join(';') }}"), "(a;)[User <|x|>]");
  EXPECT_EQ(marks("{{ u.split(' ')|join('+') }}"), "[User](+)[<|x|>]");
  EXPECT_EQ(marks("{{ {'x': u}|tojson }}"), "({\"x\": \")[User <|x|>](\"})");
  EXPECT_EQ(marks("{{ [u, 'a'] }}"), "([')[User <|x|>](', 'a'])");
  EXPECT_EQ(marks("{{ d }}"), "({')[k](': ')[v]('})");
  EXPECT_EQ(marks("{{ '%s|%d%%' % (u, n) }}"), "[User <|x|>](|7%)");
  EXPECT_EQ(marks("{{ '{}{a:>3}'.format(u, a=n) }}"), "[User <|x|>](  7)");
  EXPECT_EQ(marks("{{ u.format() }}{{ u % () }}"), "[User <|x|>User <|x|>]");
  EXPECT_EQ(marks("{{ (u ~ '\n\nx')|indent(2) }}"), "[User <|x|>](\n\n  x)");
  EXPECT_EQ(marks("{{ (' ' ~ u ~ ' ')|trim }}{{ '<'|e }}"), "[User <|x|>](&lt;)");
  EXPECT_EQ(marks("{% set x %}a{{ u }}{% endset %}{{ x|lower }}"), "(a)[user <|x|>]");
  EXPECT_EQ(marks("{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(u) }}"), "(<)[User <|x|>](>)");
  EXPECT_EQ(marks("{% macro m() %}{{ kwargs }}{% endmacro %}{{ m(**d) }}{{ dict(**d) }}"),
            "({')[k](': ')[v]('}{')[k](': ')[v]('})");
  EXPECT_EQ(marks("{{ b|join }}{{ b|first }}{{ b|sort|last|title }}"), "[pqpQ]");
  EXPECT_EQ(marks("{{ [1]|tojson(indent=u) }}"), "([\n)[User <|x|>](1\n])");
}

TEST(Template, NothingIsLeftOver) {
  EXPECT_EQ(render("").bytes, "");
  EXPECT_TRUE(render("{{ nope }}").runs.empty());
  const Template once =
      Template::compile("{% set ns = namespace(i=0) %}{% set ns.i = ns.i + 1 %}{{ ns.i }}");
  for (int i = 0; i < 2; ++i) EXPECT_EQ(once.render(Value::dict({}), {}).bytes, "1");
}

}  // namespace
}  // namespace st::jinja

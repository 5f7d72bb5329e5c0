#include "study/routing_trace.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "experts/hot_set.h"
#include "support/bytes.h"

namespace st {
namespace {

using namespace testkit;

std::string header(uint32_t layers, uint32_t experts, uint32_t used) {
  return cat(std::string("STROUTE1"), le(layers), le(experts), le(used), le(uint32_t{0}),
             le(uint64_t{100}), le(uint64_t{200}));
}

std::string ids(std::initializer_list<uint16_t> values) {
  std::string bytes;
  for (const uint16_t value : values) bytes += le(value);
  return bytes;
}

RoutingTrace parse(const std::string& bytes) {
  return read_routing_trace(MemorySource(std::as_bytes(std::span(bytes))));
}

TEST(RoutingTrace, IsReadAsDocumented) {
  const RoutingTrace trace =
      parse(cat(header(2, 9, 2), le(uint32_t{2}), ids({0, 1, 2, 3, 4, 5, 6, 7}), le(uint32_t{1}),
                ids({8, 0, 0, 8})));
  EXPECT_EQ(trace.shape().layers, 2);
  EXPECT_EQ(trace.shape().experts, 9);
  EXPECT_EQ(trace.shape().expert_bytes(), 300u);
  EXPECT_EQ(trace.shape().all_bytes(), 5400u);
  ASSERT_EQ(trace.passes(), 2);
  EXPECT_EQ(trace.tokens(), 3);
  EXPECT_TRUE(std::ranges::equal(trace.chosen(0, 1), std::vector<uint16_t>{4, 5, 6, 7}));
  EXPECT_TRUE(std::ranges::equal(trace.chosen(1, 0), std::vector<uint16_t>{8, 0}));
  RoutingTrace rest = trace;
  rest.drop_first(1);
  EXPECT_EQ(rest.passes(), 1);
  EXPECT_EQ(rest.tokens(), 1);
  EXPECT_TRUE(std::ranges::equal(rest.chosen(0, 1), std::vector<uint16_t>{0, 8}));
}

TEST(RoutingTrace, IsWrittenAsDocumented) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("st-routing-" + std::to_string(::getpid()) + ".trace");
  RoutingRecorder recorder(
      path.string(),
      {.layers = 2, .experts = 9, .used = 2, .gate_bytes = 100, .up_down_bytes = 200});
  recorder.record(0, std::vector<int32_t>{7, 7});  // interrupted
  recorder.record(0, std::vector<int32_t>{0, 1, 2, 3});
  recorder.record(1, std::vector<int32_t>{4, 5, 6, 7});
  recorder.record(0, std::vector<int32_t>{8, 0});
  recorder.record(1, std::vector<int32_t>{0, 8});
  EXPECT_FALSE(std::filesystem::exists(path));
  recorder.finish();
  EXPECT_EQ(read_text_file(path.string()),
            cat(header(2, 9, 2), le(uint32_t{2}), ids({0, 1, 2, 3, 4, 5, 6, 7}), le(uint32_t{1}),
                ids({8, 0, 0, 8})));
  std::filesystem::remove(path);
}

TEST(RoutingTrace, RefusesWhatIsWrong) {
  const std::string pass = cat(le(uint32_t{1}), ids({0, 1, 2, 3}));
  const std::string good = cat(header(2, 9, 2), pass);
  EXPECT_NO_THROW(parse(good));
  const auto why = [](const std::string& bytes) { return error_of([&] { parse(bytes); }); };
  EXPECT_TRUE(contains(why("GGUF____"), "not a routing trace"));
  EXPECT_TRUE(contains(why(header(2, 9, 2)), "no passes"));
  EXPECT_TRUE(contains(why(cat(header(0, 9, 2), pass)), "layers 0"));
  EXPECT_TRUE(contains(why(cat(header(5000, 9, 2), pass)), "layers 5000"));
  EXPECT_TRUE(contains(why(cat(header(2, 9, 10), pass)), "experts used 10"));
  EXPECT_TRUE(contains(why(cat(header(2, 70000, 2), pass)), "experts 70000"));
  // Shapes whose tables would dwarf the file.
  EXPECT_EQ(why(cat(header(512, 1024, 2), pass)),
            "layers 512 x experts 1024: want at most 262144 in all");
  EXPECT_EQ(why(cat(header(4096, 65536, 2), pass)),
            "layers 4096 x experts 65536: want at most 262144 in all");
  EXPECT_TRUE(contains(why(cat(header(2, 3, 2), pass)), "expert 3 of 3"));
  EXPECT_TRUE(contains(why(cat(header(2, 9, 2), le(uint32_t{1}), ids({0, 1, 3, 3}))), "twice"));
  EXPECT_TRUE(contains(why(cat(good, le(uint32_t{0xFFFFFFFF}))), "pass 1 of 4294967295 tokens"));
  EXPECT_TRUE(contains(why(cat(good, le(uint32_t{0}))), "pass 1 of 0 tokens"));
  std::string huge = good;
  patch(huge, 24, ~uint64_t{0});
  EXPECT_TRUE(contains(why(huge), "bytes"));
  for (size_t n = 0; n < good.size(); ++n) EXPECT_NE(why(good.substr(0, n)), "no error") << n;
}

// How often each rank of layer 0 is used, most used first.
std::vector<double> frequencies(const RoutingTrace& trace, int64_t first, int64_t end) {
  std::vector<double> result(static_cast<size_t>(trace.shape().experts));
  for (int64_t p = first; p < end; ++p) {
    for (const uint16_t e : trace.chosen(p, 0)) result[e] += 1.0 / static_cast<double>(end - first);
  }
  return result;
}

TEST(MadeUpRouting, HasTheFrequenciesOfTheReport) {
  for (const char* name : {"4b", "21b"}) {
    const RoutingShape shape = *released_shape(name);
    const RoutingTrace trace = make_up_routing(shape, MadeUpKind::kPublished, 2000, 7);
    std::vector<double> f = frequencies(trace, 0, 2000);
    std::ranges::sort(f, std::greater());
    const auto hot = static_cast<size_t>(shape.experts * 7 / 32);
    EXPECT_GT(f[0], 0.4) << name;
    EXPECT_LT(f[0], 0.65) << name;
    EXPECT_GT(f[hot - 1], 0.2) << name;
    EXPECT_LT(f[hot], 0.14) << name;
    EXPECT_NEAR(std::accumulate(f.begin(), f.end(), 0.0), static_cast<double>(shape.used), 1e-9);
  }
}

TEST(MadeUpRouting, KindsDiffer) {
  const RoutingShape shape = *released_shape("4b");
  const auto even = frequencies(make_up_routing(shape, MadeUpKind::kUniform, 2000, 7), 0, 2000);
  EXPECT_GT(std::ranges::min(even), 0.09);
  EXPECT_LT(std::ranges::max(even), 0.16);
  // How much of what a token asks for the one before it asked for.
  const auto repeats = [&](MadeUpKind kind) {
    const RoutingTrace trace = make_up_routing(shape, kind, 500, 7);
    int64_t again = 0;
    for (int64_t p = 1; p < trace.passes(); ++p) {
      const auto before = trace.chosen(p - 1, 0);
      for (const uint16_t e : trace.chosen(p, 0)) again += std::ranges::count(before, e);
    }
    return static_cast<double>(again) / static_cast<double>((trace.passes() - 1) * shape.used);
  };
  EXPECT_NEAR(repeats(MadeUpKind::kUniform), 0.125, 0.03);
  EXPECT_GT(repeats(MadeUpKind::kSticky), repeats(MadeUpKind::kDrifting) + 0.1);
  // Hot experts stay what they are, or not.
  const auto change = [&](MadeUpKind kind) {
    const RoutingTrace trace = make_up_routing(shape, kind, 4000, 7);
    const auto a = frequencies(trace, 0, 1000), b = frequencies(trace, 3000, 4000);
    double sum = 0;
    for (size_t e = 0; e < a.size(); ++e) sum += std::abs(a[e] - b[e]);
    return sum;
  };
  EXPECT_GT(change(MadeUpKind::kDrifting), change(MadeUpKind::kPublished) + 1);
  // And the same seed gives the same.
  const RoutingTrace one = make_up_routing(shape, MadeUpKind::kSticky, 50, 3);
  const RoutingTrace two = make_up_routing(shape, MadeUpKind::kSticky, 50, 3);
  EXPECT_TRUE(std::ranges::equal(one.chosen(49, 31), two.chosen(49, 31)));
}

TEST(HotSet, SurvivesItsFile) {
  const std::vector<float> rates{0.5f, 0.0001f, 1.0f, 0.0f, 0.1234f, 0.25f};
  const std::string text = format_hot_set(rates, 2, 3);
  EXPECT_EQ(text, "smallthinker-hot-set 1\nlayers 2 experts 3\n5000 1 10000\n0 1234 2500\n");
  const std::vector<float> back = parse_hot_set(text, 2, 3);
  ASSERT_EQ(back.size(), 6u);
  for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(back[i], rates[i], 1e-4);
}

TEST(HotSet, RefusesWhatIsWrong) {
  const auto why = [](std::string_view text) {
    return error_of([&] { parse_hot_set(text, 2, 2); });
  };
  const std::string head = "smallthinker-hot-set 1\nlayers 2 experts 2\n";
  EXPECT_EQ(why(head + "1 2\n3 4\n"), "no error");
  EXPECT_TRUE(contains(why(""), "not a hot set"));
  EXPECT_TRUE(contains(why("smallthinker-hot-set 1\nlayers 2 experts 3\n"), "another model"));
  EXPECT_TRUE(contains(why(head + "1 2\n3\n"), "layer 1, expert 1"));
  EXPECT_TRUE(contains(why(head + "1 2\n3 -4\n"), "layer 1, expert 1"));
  EXPECT_TRUE(contains(why(head + "1 10001\n3 4\n"), "layer 0, expert 1"));
  EXPECT_TRUE(contains(why(head + "1 2 3\n3 4\n"), "more than 2 numbers"));
  EXPECT_TRUE(contains(why(head + "1 2\n3 4\n5 6\n"), "more than 2 layers"));
  EXPECT_TRUE(contains(why(head + "1 99999999999999999999\n"), "expert 1"));
}

}  // namespace
}  // namespace st

#include "cli/bench_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/option_values.h"

namespace st {
namespace {

using nlohmann::json;

BenchRow example() {
  BenchRow row;
  row.model = {.filename = "dir/m.gguf",
               .name = "a \"name\"",
               .description = "smallthinker 4B Q4_0",
               .bytes = 2'400'000'000,
               .parameters = 4'270'000'000};
  row.cpu = "A CPU";
  row.kernels = "avx2";
  row.version = "1.0";
  row.time = "2026-01-02T03:04:05Z";
  row.threads = 2;
  row.batch = 2048;
  row.micro_batch = 512;
  row.load_seconds = 0.5;
  row.peak_memory = uint64_t{3} << 30;
  row.probe = Probe{.kernels = "avx2", .threads = 2, .read_bandwidth = 80e9, .int8_peak = 200e9};
  row.result = {.test = {.generate = 100, .depth = 10},
                .seconds = {2, 2},
                .first_token = {0.01, 0.03},
                .stats = {.tokens = 200, .weight_bytes = uint64_t{200} << 29}};
  return row;
}

TEST(BenchTable, Markdown) {
  BenchTable table(BenchFormat::kMarkdown, {});
  EXPECT_EQ(table.row(example()),
            "| model                          |       size |     params | backend    | threads |"
            "            test |                  t/s |  first ms |  MiB/tok | % read | % int8 |"
            "   peak RSS |\n"
            "| ------------------------------ | ---------: | ---------: | ---------- | ------: |"
            " --------------: | -------------------: | --------: | -------: | -----: | -----: |"
            " ---------: |\n"
            "| smallthinker 4B Q4_0           |   2.24 GiB |     4.27 B | CPU avx2   |       2 |"
            "     tg100 @ d10 |         50.00 ± 0.00 |     20.00 |   512.00 |     34 |      - |"
            "   3.00 GiB |\n");
  EXPECT_EQ(
      table.foot(),
      "\n2 threads: loaded in 0.50 s; the machine reads 80.0 GB/s and multiplies 200.0 G/s in "
      "int8\n");
}

TEST(BenchTable, MarkdownWithoutWhatIsNotKnown) {
  BenchRow row = example();
  row.probe.reset();
  row.peak_memory = 0;
  row.threads = 1;
  row.result.stats.weight_bytes = 0;
  BenchTable table(BenchFormat::kMarkdown, {.micro_batch = true, .cache_type = true});
  const std::string text = table.row(row);
  EXPECT_NE(text.find("| n_ubatch | type_kv |"), std::string::npos);
  EXPECT_NE(text.find("|     20.00 |        - |      - |      - |          - |\n"),
            std::string::npos);
  EXPECT_EQ(table.foot(), "\n1 thread: loaded in 0.50 s\n");
}

TEST(BenchTable, Json) {
  BenchTable table(BenchFormat::kJson, {});
  std::string document = table.row(example());
  document += table.row(example());
  document += table.foot();
  const json parsed = json::parse(document);
  ASSERT_EQ(parsed.size(), 2u);
  const json& row = parsed[1];
  EXPECT_EQ(row["model_type"], "smallthinker 4B Q4_0");
  EXPECT_EQ(row["n_gen"], 100);
  EXPECT_EQ(row["n_depth"], 10);
  EXPECT_EQ(row["avg_ns"], 2'000'000'000);
  EXPECT_EQ(row["avg_ts"], 50);
  EXPECT_EQ(row["stddev_ts"], 0);
  EXPECT_EQ(row["samples_ns"], json({2'000'000'000, 2'000'000'000}));
  EXPECT_EQ(row["avg_first_token_ns"], 20'000'000);
  EXPECT_EQ(row["bytes_per_token"], 1 << 29);
  EXPECT_TRUE(row["multiply_adds_per_token"].is_null());
  EXPECT_TRUE(row["int8_share"].is_null());
  EXPECT_NEAR(row["bandwidth_share"], 200.0 * (1 << 29) / 4 / 80e9, 1e-12);
  EXPECT_EQ(json::parse(BenchTable(BenchFormat::kJson, {}).foot()), json::array());
}

TEST(BenchTable, CsvAndLines) {
  BenchTable csv(BenchFormat::kCsv, {});
  const std::string first = csv.row(example());
  const std::string second = csv.row(example());
  EXPECT_TRUE(first.starts_with("version,cpu_info,backends,kernels,model_filename,"));
  EXPECT_TRUE(second.starts_with("\"1.0\",\"A CPU\",\"CPU\",\"avx2\",\"dir/m.gguf\","));
  EXPECT_NE(second.find("\"a \"\"name\"\"\""), std::string::npos);
  EXPECT_EQ(first.substr(first.find('\n') + 1), second);
  EXPECT_EQ(csv.foot(), "");
  BenchTable lines(BenchFormat::kJsonLines, {});
  const std::string line = lines.row(example());
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_EQ(json::parse(line)["test"], "tg100 @ d10");
}

TEST(BenchTable, Probes) {
  const std::vector<Probe> probes{{"avx512", 1, 38.64e9, 430.2e9}, {"avx512", 2, 76.5e9, 860e9}};
  EXPECT_EQ(format_probes(BenchFormat::kMarkdown, probes),
            "| backend    | threads |  read GB/s | int8 GMAC/s |\n"
            "| ---------- | ------: | ---------: | ----------: |\n"
            "| CPU avx512 |       1 |       38.6 |       430.2 |\n"
            "| CPU avx512 |       2 |       76.5 |       860.0 |\n");
  EXPECT_EQ(json::parse(format_probes(BenchFormat::kJson, probes))[1]["n_threads"], 2);
  EXPECT_EQ(
      format_probes(BenchFormat::kCsv, std::span(probes).first(1)),
      "kernels,n_threads,read_bandwidth,int8_peak\n\"avx512\",1,38640000000.0,430200000000.0\n");
}

TEST(BenchTable, FormatNames) {
  EXPECT_EQ(parse_bench_format("md"), BenchFormat::kMarkdown);
  EXPECT_EQ(parse_bench_format("jsonl"), BenchFormat::kJsonLines);
  EXPECT_EQ(parse_bench_format("sql"), std::nullopt);
}

TEST(NumberList, AsLlamaBenchWritesThem) {
  constexpr NumberRange kRange{0, 10'000};
  const auto parse = [&](std::string_view text) { return parse_number_list(text, kRange); };
  EXPECT_EQ(parse("512"), (std::vector<int64_t>{512}));
  EXPECT_EQ(parse("1,2,8"), (std::vector<int64_t>{1, 2, 8}));
  EXPECT_EQ(parse("1-4,9"), (std::vector<int64_t>{1, 2, 3, 4, 9}));
  EXPECT_EQ(parse("0-1024+512"), (std::vector<int64_t>{0, 512, 1024}));
  EXPECT_EQ(parse("1-16*2"), (std::vector<int64_t>{1, 2, 4, 8, 16}));
  for (const char* wrong : {"", ",", "1,", ",1", "x", "1x", "-1", "10001", "4-1", "1-4+0", "1-4*1",
                            "0-4*2", "1 2", "0-9999", "99999999999999999999", "1-"}) {
    EXPECT_THROW(parse(wrong), Error) << wrong;
  }
}

TEST(NumberList, Pairs) {
  EXPECT_EQ(parse_number_pair("512,128", {1, 1000}), (std::pair<int64_t, int64_t>{512, 128}));
  for (const char* wrong : {"", "512", "512,", "512,128,1", "0,1", "1,1001", "a,b"}) {
    EXPECT_THROW(parse_number_pair(wrong, {1, 1000}), Error) << wrong;
  }
}

}  // namespace
}  // namespace st

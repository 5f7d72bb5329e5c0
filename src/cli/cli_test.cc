#include <gtest/gtest.h>

#include "base/error.h"
#include "cli/escapes.h"
#include "cli/options.h"
#include "cli/prompt.h"

namespace st {
namespace {

template <typename T>
T parse(std::vector<std::string> arguments) {
  return std::get<T>(parse_command_line(std::move(arguments)));
}

std::string usage_error(std::vector<std::string> arguments) {
  try {
    parse_command_line(std::move(arguments));
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidUsage);
    return e.what();
  }
  return "no error";
}

TEST(CommandLine, TheReadmeCommandOfTheReference) {
  const auto args = parse<RunArgs>({"run",        "-m",
                                    "q4.gguf",    "-no-cnv",
                                    "--temp",     "0.6",
                                    "--top-k",    "20",
                                    "--top-p",    "0.95",
                                    "--samplers", "temperature;top_k;top_p",
                                    "-p",         "<|im_start|>system\\nYou",
                                    "-t",         "4",
                                    "-n",         "256",
                                    "-ub",        "4"});
  EXPECT_EQ(args.model.model, "q4.gguf");
  EXPECT_EQ(args.model.threads, 4);
  EXPECT_EQ(args.model.micro_batch, 4);
  EXPECT_EQ(args.generate.max_tokens, 256);
  EXPECT_FLOAT_EQ(args.generate.sampler.temperature, 0.6f);
  EXPECT_EQ(args.generate.sampler.top_k, 20);
  EXPECT_EQ(args.generate.sampler.chain.size(), 3u);
  EXPECT_EQ(args.generate.sampler.chain[0], SamplerKind::kTemperature);
  std::string text;
  read_parts(args.text, [&](std::string_view part) { return text.append(part), true; });
  EXPECT_EQ(text, "<|im_start|>system\nYou");
  for (const char* flag : {"-no-cnv", "--no-cnv", "--no-conversation"}) {
    EXPECT_NO_THROW(parse<RunArgs>({"run", "-m", "x", flag}));
  }
}

TEST(CommandLine, DefaultsAreLlamaCpps) {
  const auto args = parse<RunArgs>({"run", "-m", "x"});
  const SamplerOptions& s = args.generate.sampler;
  EXPECT_FLOAT_EQ(s.temperature, 0.8f);
  EXPECT_EQ(s.top_k, 40);
  EXPECT_FLOAT_EQ(s.top_p, 0.95f);
  EXPECT_FLOAT_EQ(s.min_p, 0.05f);
  EXPECT_EQ(s.repeat_last_n, 64);
  EXPECT_EQ(args.generate.max_tokens, -1);
  EXPECT_EQ(args.model.batch, 2048);
  EXPECT_EQ(args.model.micro_batch, 512);
}

TEST(CommandLine, CacheTypes) {
  const auto type = [](const std::vector<std::string>& more) {
    std::vector<std::string> all{"perplexity", "-m", "x", "-f", "x"};
    all.insert(all.end(), more.begin(), more.end());
    return parse<PerplexityArgs>(all).model.cache_type;
  };
  EXPECT_EQ(type({}), std::nullopt);
  EXPECT_EQ(type({"-ctk", "f16", "-ctv", "i16"}), KvType::kI16);  // nearly the same
  EXPECT_EQ(type({"-ctv", "q8_0"}), KvType::kI8);
  EXPECT_EQ(type({"--cache-type", "f32"}), KvType::kF32);
  for (const char* command : {"run", "bench", "logits", "verify"}) {
    EXPECT_NE(usage_error({command, "-m", "x", "-ctk", "f16", "-ctv", "i8"}).find("one type"),
              std::string::npos)
        << command;
    EXPECT_NE(usage_error({command, "-m", "x", "-ctk", "q4_0"}).find("want f32, i16 or i8"),
              std::string::npos)
        << command;
  }
}

TEST(CommandLine, ConvertAndQuantize) {
  const auto convert = parse<ConvertArgs>(
      {"convert", "dir", "--outtype", "f16", "--outfile", "out", "--transpose-down", "all"});
  EXPECT_TRUE(convert.options.transpose_down);
  EXPECT_EQ(convert.options.type, DType::kF16);
  const auto quantize = parse<QuantizeArgs>({"quantize", "--pure", "in", "out", "Q4_0", "8"});
  EXPECT_TRUE(quantize.options.pure);
  EXPECT_EQ(quantize.options.type, DType::kQ4_0);
  EXPECT_EQ(quantize.options.threads, 8);
}

TEST(CommandLine, Synth) {
  const auto plain = parse<SynthArgs>({"synth", "4b", "-o", "out"}).options;
  EXPECT_EQ(plain.arch, "4b");
  EXPECT_FALSE(plain.transpose_down);
  EXPECT_FALSE(plain.predictor);
  EXPECT_EQ(plain.gate_sparsity, 0.65);
  const auto args = parse<SynthArgs>({"synth", "21b", "-o", "out", "--seed", "9", "--layout",
                                      "transposed", "--gate-sparsity", "0.7", "--router-skew",
                                      "0.5", "--predictor", "--type", "q8_0"});
  EXPECT_EQ(args.options.seed, 9u);
  EXPECT_TRUE(args.options.transpose_down);
  EXPECT_TRUE(args.options.predictor);
  EXPECT_EQ(args.options.gate_sparsity, 0.7);
  EXPECT_EQ(args.options.router_skew, 0.5);
  EXPECT_EQ(args.options.type, DType::kQ8_0);
  EXPECT_NE(usage_error({"synth", "4b"}), "no error");
  EXPECT_NE(usage_error({"synth", "4b", "-o", "x", "--seed", "-3"}), "no error");
  EXPECT_NE(usage_error({"synth", "4b", "-o", "x", "--layout", "rows"}), "no error");
  EXPECT_NE(usage_error({"synth", "4b", "-o", "x", "--type", "f16"}), "no error");
}

TEST(CommandLine, BenchTakesListsAsLlamaBench) {
  const auto bench = parse<BenchArgs>(
      {"bench", "-m", "x",     "-p", "512,1024", "-p",  "64",      "-n", "0", "-pg", "64,16", "-pg",
       "8,4",   "-d", "0,128", "-t", "1,2",      "-ub", "128,512", "-r", "3", "-o",  "json"});
  EXPECT_EQ(bench.prompt, (std::vector<int64_t>{512, 1024, 64}));
  EXPECT_EQ(bench.generate, (std::vector<int64_t>{0}));
  ASSERT_EQ(bench.prompt_generate.size(), 2u);
  EXPECT_EQ(bench.prompt_generate[1], (std::pair<int64_t, int64_t>{8, 4}));
  EXPECT_EQ(bench.depth, (std::vector<int64_t>{0, 128}));
  EXPECT_EQ(bench.threads, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(bench.micro_batch, (std::vector<int64_t>{128, 512}));
  EXPECT_EQ(bench.options.repetitions, 3);
  EXPECT_EQ(bench.format, BenchFormat::kJson);
  EXPECT_TRUE(bench.options.warmup && bench.probe && !bench.probe_only);
  EXPECT_TRUE(parse<BenchArgs>({"bench", "--probe"}).probe_only);
  EXPECT_FALSE(parse<BenchArgs>({"bench", "-m", "x", "--no-probe"}).probe);
  EXPECT_FALSE(parse<BenchArgs>({"bench", "-m", "x", "--no-warmup"}).options.warmup);
  EXPECT_EQ(parse<VerifyArgs>({"verify", "-m", "x", "-t", "1,4", "-p", "9"}).tokens, 9);
  EXPECT_EQ(parse<VerifyArgs>({"verify", "-m", "x", "--memory", "1MiB,2K"}).memory,
            (std::vector<uint64_t>{1 << 20, 2048}));
}

TEST(CommandLine, SeedsAndPromptsThatLookLikeOptions) {
  EXPECT_EQ(parse<RunArgs>({"run", "-m", "x", "-s", "-1"}).generate.sampler.seed, 0xFFFFFFFFu);
  EXPECT_EQ(parse<RunArgs>({"run", "-m", "x", "-s", "42"}).generate.sampler.seed, 42u);
  EXPECT_EQ(parse<RunArgs>({"run", "-m", "x", "-p", "- a list, [with] brackets"}).text.prompt,
            "- a list, [with] brackets");
  EXPECT_EQ(parse<RunArgs>({"run", "-m", "x", "-p", ""}).text.prompt, "");
}

TEST(CommandLine, WrongUseIsOneLine) {
  EXPECT_NE(usage_error({}), "no error");
  EXPECT_NE(usage_error({"fly"}), "no error");
  EXPECT_NE(usage_error({"run"}), "no error");
  EXPECT_NE(usage_error({"run", "-m", "x", "--frobnicate"}), "no error");
  EXPECT_NE(usage_error({"run", "-m", "x", "-t", "0"}), "no error");
  EXPECT_NE(usage_error({"run", "-m", "x", "--temp", "hot"}), "no error");
  EXPECT_NE(usage_error({"run", "-m", "x", "--moe-gating", "relu"}), "no error");
  EXPECT_NE(usage_error({"run", "-m", "x", "--samplers", "magic"}), "no error");
  EXPECT_NE(usage_error({"run", "-m", "x", "-p", "a", "-f", "b"}), "no error");
  EXPECT_NE(usage_error({"convert", "dir"}), "no error");
  EXPECT_NE(usage_error({"convert", "dir", "--outfile", "o", "--outtype", "q4_k"}), "no error");
  EXPECT_NE(usage_error({"quantize", "in", "out", "Q9"}), "no error");
  EXPECT_NE(usage_error({"help", "nothing"}), "no error");
  EXPECT_NE(usage_error({"bench"}), "no error");
  EXPECT_NE(usage_error({"bench", "-m", "x", "-p", "many"}).find("--n-prompt"), std::string::npos);
  EXPECT_NE(usage_error({"bench", "-m", "x", "-pg", "512"}), "no error");
  EXPECT_NE(usage_error({"bench", "-m", "x", "-o", "sql"}), "no error");
  EXPECT_NE(usage_error({"bench", "-m", "x", "--probe", "--no-probe"}), "no error");
  EXPECT_NE(usage_error({"verify", "-m", "x", "-t", "0"}), "no error");
  for (const char* wrong : {"", "0", "1G,", ",1G", "lots"}) {
    EXPECT_NE(usage_error({"verify", "-m", "x", "--memory", wrong}), "no error") << wrong;
  }
  EXPECT_EQ(usage_error({"run", "-m", "x", "-t", "\x1b[2J"}).find('\x1b'), std::string::npos);
}

TEST(CommandLine, HelpAndVersion) {
  EXPECT_NE(parse<PrintArgs>({"help"}).text.find("convert"), std::string::npos);
  EXPECT_NE(parse<PrintArgs>({"help", "run"}).text.find("--top-k"), std::string::npos);
  EXPECT_NE(parse<PrintArgs>({"run", "--help"}).text.find("--top-k"), std::string::npos);
  EXPECT_TRUE(parse<PrintArgs>({"version"}).text.starts_with("smallthinker "));
}

TEST(Escapes, AsLlamaCpp) {
  EXPECT_EQ(process_escapes(R"(a\nb\tc\\n\"q\")"), "a\nb\tc\\n\"q\"");
  EXPECT_EQ(process_escapes(R"(\x41\x4\xZZ\q\)"), R"(A\x4\xZZ\q\)");
  EXPECT_EQ(process_escapes(std::string("\\x00", 4)), std::string(1, '\0'));
}

TEST(Ids, FromText) {
  EXPECT_EQ(parse_ids("1,2 3\n[4]", 5), (std::vector<Token>{1, 2, 3, 4}));
  for (const char* wrong : {"5", "-1", "1.5", "x", "99999999999999999999"}) {
    EXPECT_THROW(parse_ids(wrong, 5), Error) << wrong;
  }
}

}  // namespace
}  // namespace st

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <regex>

#include "base/error.h"
#include "cli/options.h"
#include "cli/text_args.h"

namespace st {
namespace {

template <typename T>
T parse(std::vector<std::string> arguments) {
  return std::get<T>(parse_command_line(std::move(arguments)).command);
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
  EXPECT_EQ(args.generate.session.max_tokens, 256);
  EXPECT_FLOAT_EQ(args.generate.session.sampler.temperature, 0.6f);
  EXPECT_EQ(args.generate.session.sampler.top_k, 20);
  EXPECT_EQ(args.generate.session.sampler.chain.size(), 3u);
  EXPECT_EQ(args.generate.session.sampler.chain[0], SamplerKind::kTemperature);
  std::string text;
  read_text(args.text, [&](std::string_view piece) { return text.append(piece), true; });
  EXPECT_EQ(text, "<|im_start|>system\nYou");
  for (const char* flag : {"-no-cnv", "--no-cnv", "--no-conversation"}) {
    EXPECT_NO_THROW(parse<RunArgs>({"run", "-m", "x", flag}));
  }
}

TEST(CommandLine, DefaultsAreLlamaCpps) {
  const auto args = parse<RunArgs>({"run", "-m", "x"});
  const SamplerOptions& s = args.generate.session.sampler;
  EXPECT_FLOAT_EQ(s.temperature, 0.8f);
  EXPECT_EQ(s.top_k, 40);
  EXPECT_FLOAT_EQ(s.top_p, 0.95f);
  EXPECT_FLOAT_EQ(s.min_p, 0.05f);
  EXPECT_EQ(s.repeat_last_n, 64);
  EXPECT_EQ(args.generate.session.max_tokens, -1);
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
  const auto pure = parse<QuantizeArgs>({"quantize", "--pure", "in", "out", "Q4_0", "8"}).options;
  EXPECT_TRUE(pure.pure);
  EXPECT_EQ(pure.mix, "Q4_0");
  EXPECT_EQ(pure.threads, 8);
  EXPECT_FALSE(pure.dry_run || pure.allow_requantize || pure.output_type || pure.embedding_type);
  const auto mixed =
      parse<QuantizeArgs>({"quantize", "--dry-run", "--allow-requantize", "--imatrix", "i.gguf",
                           "--tensor-type", "blk\\.[0-3]\\.=q8_0", "--tensor-type", "a=b=F16",
                           "--output-tensor-type", "q5_k", "--token-embedding-type", "Q3_K", "in",
                           "out", "q4_k_m"})
          .options;
  EXPECT_TRUE(mixed.dry_run);
  EXPECT_TRUE(mixed.allow_requantize);
  EXPECT_EQ(mixed.imatrix, "i.gguf");
  EXPECT_EQ(mixed.tensor_types, (std::vector<std::pair<std::string, DType>>{
                                    {"blk\\.[0-3]\\.", DType::kQ8_0}, {"a=b", DType::kF16}}));
  EXPECT_EQ(mixed.output_type, DType::kQ5_K);
  EXPECT_EQ(mixed.embedding_type, DType::kQ3_K);
  EXPECT_EQ(mixed.mix, "q4_k_m");
}

TEST(CommandLine, Synth) {
  const auto plain = parse<SynthArgs>({"synth", "4b", "-o", "out"}).options;
  EXPECT_EQ(plain.arch, "4b");
  EXPECT_FALSE(plain.transpose_down);
  EXPECT_FALSE(plain.predictor);
  EXPECT_EQ(plain.gate_sparsity, 0.65);
  EXPECT_EQ(plain.type, DType::kQ4_0);
  const auto pure = parse<SynthArgs>({"synth", "4b", "-o", "out", "--type", "q4_k"}).options;
  EXPECT_EQ(pure.type, DType::kQ4_K);
  EXPECT_EQ(pure.mix, "");
  const auto mixed = parse<SynthArgs>({"synth", "4b", "-o", "out", "--type", "q4_k_m"}).options;
  EXPECT_EQ(mixed.type, DType::kQ4_K);
  EXPECT_EQ(mixed.mix, "q4_k_m");
  const auto args = parse<SynthArgs>({"synth", "21b", "-o", "out", "--seed", "9", "--layout",
                                      "transposed", "--gate-sparsity", "0.7", "--router-skew",
                                      "0.5", "--predictor", "--type", "q8_0"});
  EXPECT_EQ(args.options.seed, 9u);
  EXPECT_TRUE(args.options.transpose_down);
  EXPECT_TRUE(args.options.predictor);
  EXPECT_EQ(args.options.gate_sparsity, 0.7);
  EXPECT_EQ(args.options.router_skew, 0.5);
  EXPECT_EQ(args.options.type, DType::kQ8_0);
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
  EXPECT_EQ(parse<RunArgs>({"run", "-m", "x", "-s", "-1"}).generate.session.sampler.seed,
            0xFFFFFFFFu);
  EXPECT_EQ(parse<RunArgs>({"run", "-m", "x", "-s", "42"}).generate.session.sampler.seed, 42u);
  EXPECT_EQ(parse<RunArgs>({"run", "-m", "x", "-p", "- a list, [with] brackets"}).text.prompt,
            "- a list, [with] brackets");
  EXPECT_EQ(parse<RunArgs>({"run", "-m", "x", "-p", ""}).text.prompt, "");
}

TEST(CommandLine, WrongUseIsOneLine) {
  const std::string run = "; see 'smallthinker run --help'";
  const auto of_run = [](std::vector<std::string> more) {
    more.insert(more.begin(), {"run", "-m", "x"});
    return usage_error(more);
  };
  EXPECT_EQ(of_run({"--frobnicate"}), "no option '--frobnicate'" + run);
  EXPECT_EQ(of_run({"--temp", "hot"}), "--temp: 'hot': want a number in -1000000..1000000" + run);
  EXPECT_EQ(of_run({"--moe-gating", "relu"}),
            "--moe-gating: 'relu': want auto, softmax or sigmoid" + run);
  EXPECT_EQ(of_run({"-p", "a", "-f", "b"}), "--prompt excludes --file" + run);
  EXPECT_EQ(of_run({"-t", "\x1b[2J"}),
            "--threads: '\\x1b[2J': want a whole number in -1..1024" + run);
  EXPECT_EQ(
      of_run({"--samplers", "magic"}),
      "--samplers: unknown sampler 'magic' (known: penalties, dry, top_n_sigma, top_k, typ_p, "
      "top_p, min_p, xtc, temperature)" +
          run);
  EXPECT_EQ(of_run({"--memory-change", "x"}),
            "--memory-change: 'x': want TOKENS:SIZE, such as 64:700MiB" + run);
  EXPECT_EQ(of_run({"--memory", "1G", "--memory-change", "9:1G", "--memory-change", "9:2G"}),
            "--memory-change: '9:2G': want ascending tokens" + run);

  EXPECT_EQ(usage_error({"convert", "dir"}),
            "--outfile is required; see 'smallthinker convert --help'");
  EXPECT_EQ(
      usage_error({"convert", "dir", "--outfile", "o", "--outtype", "q4_k"}),
      "--outtype: 'q4_k': want f32, f16, bf16, q8_0 or q4_0; see 'smallthinker convert --help'");
  const std::string quantize = "; see 'smallthinker quantize --help'";
  EXPECT_EQ(usage_error({"quantize", "in", "out", "Q9"}),
            "TYPE: 'Q9': want F32, F16, BF16, Q8_0, Q6_K, Q5_K_M, Q5_K_S, Q5_1, Q5_0, Q4_K_M, "
            "Q4_K_S, Q4_1, Q4_0, IQ4_NL, IQ4_XS, MXFP4_MOE, Q3_K_M or Q2_K" +
                quantize);
  EXPECT_EQ(usage_error({"quantize", "--tensor-type", "attn_v", "in", "out", "Q4_0"}),
            "--tensor-type: 'attn_v': want REGEX=TYPE, such as attn_v=q8_0" + quantize);
  EXPECT_EQ(usage_error({"quantize", "--tensor-type", "attn_v=IQ2_S", "in", "out", "Q4_0"}),
            "--tensor-type: 'IQ2_S': want a type such as Q6_K or F16" + quantize);
  EXPECT_EQ(usage_error({"quantize", "--output-tensor-type", "I8", "in", "out", "Q4_0"}),
            "--output-tensor-type: 'I8': want a type such as Q6_K or F16" + quantize);
  const std::string bench = "; see 'smallthinker bench --help'";
  EXPECT_EQ(usage_error({"bench", "-m", "x", "-pg", "512"}),
            "--pg: \"512\": want two numbers like 512,128, each 1..16777216" + bench);
  EXPECT_EQ(usage_error({"bench", "-m", "x", "-o", "sql"}),
            "--output: 'sql': want md, csv, json or jsonl" + bench);
  EXPECT_EQ(usage_error({"bench", "-m", "x", "--probe", "--no-probe"}),
            "--no-probe excludes --probe" + bench);
  EXPECT_EQ(
      usage_error({"verify", "-m", "x", "--memory", "1G,lots"}),
      "--memory: '1G,lots': want a size such as 512MiB or 8G; see 'smallthinker verify --help'");
  EXPECT_EQ(usage_error({"verify", "-m", "x", "--hot-set", "h"}),
            "--hot-set requires --memory; see 'smallthinker verify --help'");
  const std::string synth = "; see 'smallthinker synth --help'";
  const std::string perplexity = "; see 'smallthinker perplexity --help'";
  EXPECT_EQ(usage_error({"perplexity", "-m", "x"}), "--file is required" + perplexity);
  EXPECT_EQ(usage_error({"perplexity", "-m", "x", "--kl-divergence"}),
            "--kl-divergence requires --kl-divergence-base" + perplexity);
  EXPECT_EQ(usage_error({"perplexity", "-m", "x", "--kl-divergence", "--kl-divergence-base", "y",
                         "-f", "z"}),
            "--file excludes --kl-divergence" + perplexity);
  EXPECT_EQ(usage_error({"imatrix", "-m", "x", "-f", "y"}),
            "--outfile is required; see 'smallthinker imatrix --help'");
  EXPECT_EQ(usage_error({"synth", "4b"}), "--outfile is required" + synth);
  EXPECT_EQ(usage_error({"synth", "4b", "-o", "x", "--layout", "rows"}),
            "--layout: 'rows': want none or transposed" + synth);
  EXPECT_EQ(usage_error({"synth", "4b", "-o", "x", "--type", "q4_k_x"}),
            "--type: 'q4_k_x': want a type such as Q6_K or F16" + synth);
}

// Commands that are complete but for one option.
const std::vector<std::vector<std::string>> kComplete{
    {"run", "-m", "x"},
    {"perplexity", "-m", "x", "-f", "x"},
    {"imatrix", "-m", "x", "-f", "x", "-o", "x"},
    {"logits", "-m", "x", "-o", "x"},
    {"bench", "-m", "x"},
    {"verify", "-m", "x"},
    {"inspect", "x"},
    {"convert", "x", "-o", "y"},
    {"synth", "4b", "-o", "x"},
    {"cache-sim", "x", "--memory", "1G"},
};

// An option as help shows it.
struct Shown {
  std::string name;   // a long one
  std::string type;   // N, X, SIZE or LIST
  std::string range;  // "1..1024", of the first two
};

std::vector<Shown> options_of(const std::string& command) {
  const std::string help = parse<PrintArgs>({"help", command}).text;
  const std::regex line(R"(\n  (?:-\w,)?(--[\w-]+)\S* (N|X|SIZE|LIST)(?:\[([^\]]+)\])?(?=[ =\n]))");
  std::vector<Shown> options;
  for (std::sregex_iterator i(help.begin(), help.end(), line), end; i != end; ++i) {
    options.push_back({(*i)[1], (*i)[2], (*i)[3]});
  }
  return options;
}

// Neither another number nor another message, for whatever is not a number.
TEST(CommandLine, EveryNumberIsJudged) {
  const std::vector<std::string> never{
      "",    " ",   " 1",     "1 ",       "+1",   "--1",  "0x10",
      "nan", "inf", "-inf",   "infinity", "true", "on",   "1'0",
      "1_0", "1;0", "\u0661", "\u00b2",   "1\n",  "-",    "1e",
      "e1",  ".",   "1.2.3",  "1x",       "0b1",  "half", "99999999999999999999999x"};
  int judged = 0;
  for (const std::vector<std::string>& command : kComplete) {
    for (const Shown& option : options_of(command.front())) {
      const auto refusal = [&](const std::string& value) {
        std::vector<std::string> arguments = command;
        arguments.insert(arguments.end(), {option.name, value});
        ++judged;
        return usage_error(arguments);
      };
      const std::string see = fmt::format("; see 'smallthinker {} --help'", command.front());
      std::vector<std::string> wrong = never;
      if (option.type == "N") {
        const size_t dots = option.range.find("..");
        const int64_t min = std::stoll(option.range.substr(0, dots));
        const int64_t max = std::stoll(option.range.substr(dots + 2));
        wrong.insert(wrong.end(),
                     {"1.5", "1e3", "1,0", "99999999999999999999", std::to_string(min - 1),
                      max == INT64_MAX ? "9223372036854775808" : std::to_string(max + 1)});
        for (const std::string& value : wrong) {
          EXPECT_EQ(refusal(value), fmt::format("{}: '{}': want a whole number in {}{}",
                                                option.name, printable(value), option.range, see));
        }
        for (const int64_t value : {min, max}) {
          EXPECT_EQ(refusal(std::to_string(value)), "no error") << command.front() << option.name;
        }
      } else if (option.type == "X") {
        wrong.insert(wrong.end(), {"1e999", "-1e999", "1,5", "0x1p3"});
        for (const std::string& value : wrong) {
          EXPECT_EQ(refusal(value), fmt::format("{}: '{}': want a number in {}{}", option.name,
                                                printable(value), option.range, see));
        }
        for (const std::string value : {"1e-320", "1e-400"}) {  // zeros to who is not careful
          EXPECT_TRUE(refusal(value).starts_with(fmt::format("{}: '{}': ", option.name, value)));
        }
      } else if (option.name != "--samplers") {
        wrong.insert(wrong.end(), {"1e3", "99999999999999999999999999", "-1", "1,,2"});
        for (const std::string& value : wrong) {
          EXPECT_TRUE(refusal(value).starts_with(option.name + ": "))
              << command.front() << " '" << value << "': " << refusal(value);
        }
      }
    }
  }
  EXPECT_GT(judged, 1500);  // help shows them
}

TEST(CommandLine, NumbersThatAreFine) {
  const auto temperature = [](const std::string& text) {
    return parse<RunArgs>({"run", "-m", "x", "--temp", text}).generate.session.sampler.temperature;
  };
  EXPECT_EQ(temperature("0"), 0.0f);
  EXPECT_EQ(temperature("0e-999"), 0.0f);
  EXPECT_EQ(temperature(".5"), 0.5f);
  EXPECT_EQ(temperature("5."), 5.0f);
  EXPECT_EQ(temperature("-1.5e-1"), -0.15f);
  const auto threads = [](const std::string& text) {
    return parse<RunArgs>({"run", "-m", "x", "-t", text}).model.threads;
  };
  EXPECT_EQ(threads("007"), 7);
  EXPECT_EQ(threads("0"), 0);
  EXPECT_EQ(threads("-1"), 0);
  EXPECT_EQ(parse<RunArgs>({"run", "-m", "x", "-t4"}).model.threads, 4);
  EXPECT_EQ(parse<RunArgs>({"run", "-m", "x", "-n", "-2"}).generate.session.max_tokens, -2);
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
  EXPECT_EQ(process_escapes(R"(\frac \beta \alpha \vec \0)"), R"(\frac \beta \alpha \vec \0)");
  EXPECT_EQ(process_escapes(std::string("\\x00", 4)), std::string(1, '\0'));
}

TEST(Ids, FromText) {
  EXPECT_EQ(parse_ids("1,2 3\n[4]", 5), (std::vector<Token>{1, 2, 3, 4}));
  for (const char* wrong : {"5", "-1", "1.5", "x", "99999999999999999999"}) {
    try {
      parse_ids(wrong, 5);
      ADD_FAILURE() << wrong;
    } catch (const Error& e) {
      EXPECT_EQ(e.what(), fmt::format("token '{}': want an id in 0..4", wrong));
    }
  }
}

}  // namespace
}  // namespace st

// Measures how fast a loaded model runs, with llama-bench's tests.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace st {

// Evaluate `prompt` tokens, then generate `generate` one by one, in a sequence that already holds
// `depth` tokens. Either of the first two may be 0.
struct BenchTest {
  int64_t prompt = 0;
  int64_t generate = 0;
  int64_t depth = 0;

  int64_t tokens() const { return prompt + generate; }
  int64_t context() const { return depth + tokens(); }
  std::string name() const;  // "pp512", "tg128", "pp512+tg128", "pp512 @ d4096"
};

struct BenchOptions {
  int repetitions = 5;
  bool warmup = true;         // the prompt and one token before the first repetition, not counted
  int64_t batch = 2048;       // prompt tokens handed to the engine at once
  int64_t micro_batch = 512;  // tokens per forward pass, at most the engine's
};

struct BenchResult {
  BenchTest test;
  std::vector<double> seconds;      // per repetition
  std::vector<double> first_token;  // seconds until the first token was chosen, per repetition
  Stats stats;                      // of all repetitions together

  std::vector<double> rates() const;  // tokens per second, per repetition
};

double mean(std::span<const double> values);
double standard_deviation(std::span<const double> values);  // of a sample: n - 1; 0 for one value

// Runs one test. Tokens are pseudo-random, the same on every machine and for every setting: as in
// llama-bench nothing is sampled, but the first token of each repetition is chosen (the likeliest)
// so that the time to it can be told. `progress` is called before each repetition, counted from 0,
// and before the warm-up with -1. Throws Error(kInvalidUsage) when the test does not fit the
// engine's context, and what Engine::evaluate() throws.
BenchResult run_bench(Engine& engine, const BenchTest& test, const BenchOptions& options,
                      const std::function<void(int)>& progress = {},
                      const Stop& stop = Stop::never());

}  // namespace st

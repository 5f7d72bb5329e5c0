#include "study/bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <random>

#include "base/clock.h"
#include "base/error.h"
#include "engine/scoped_sequence.h"

namespace st {
namespace {

class Runner {
 public:
  Runner(Engine& engine, const BenchOptions& options, const Stop& stop)
      : engine_(engine),
        sequence_(engine.cache()),
        stop_(stop),
        step_(std::min(options.batch, options.micro_batch)) {}

  // What follows draws its tokens from here on.
  void seed(uint32_t seed) { random_.seed(seed); }

  // Goes back to where the sequence had so many positions; false where the cache has let go of what
  // is needed there.
  bool go_back(int64_t positions) {
    KvPool& cache = engine_.cache();
    const int64_t length = cache.length(sequence_.id());
    const bool can =
        positions <= length && (positions == 0 || positions >= cache.first_kept(sequence_.id()));
    cache.truncate(sequence_.id(), can ? positions : 0);
    return can;
  }

  // Evaluates n tokens more. Only the last one's logits are computed, if any.
  std::span<const float> prompt(int64_t n, bool logits) {
    std::span<const float> last;
    for (int64_t done = 0; done < n; done += step_) {
      const std::vector<Token> tokens = draw(std::min(step_, n - done));
      const Wanted wanted = logits && done + step_ >= n ? Wanted::kLast : Wanted::kNone;
      last = engine_.evaluate({sequence_.id(), tokens, wanted}, stop_);
    }
    return last;
  }

  // One repetition, from test.depth on.
  void measure(const BenchTest& test, BenchResult& result) {
    const auto start = Clock::now();
    double first = 0;
    const auto choose = [&](std::span<const float> logits) {
      chosen_ = std::ranges::max_element(logits) - logits.begin();
      first = seconds_since(start);
    };
    if (test.prompt > 0) choose(prompt(test.prompt, true));
    for (int64_t i = 0; i < test.generate; ++i) {
      const auto logits = prompt(1, true);
      if (i == 0 && test.prompt == 0) choose(logits);
    }
    result.seconds.push_back(seconds_since(start));
    result.first_token.push_back(first);
  }

 private:
  std::vector<Token> draw(int64_t n) {
    std::vector<Token> tokens(static_cast<size_t>(n));
    const auto vocabulary = static_cast<uint32_t>(engine_.tokenizer().size());
    for (Token& token : tokens) token = static_cast<Token>(random_() % vocabulary);
    return tokens;
  }

  Engine& engine_;
  const ScopedSequence sequence_;
  const Stop& stop_;
  int64_t step_;
  std::mt19937 random_;
  // Volatile: the choice is made although nobody looks at it.
  volatile int64_t chosen_ = 0;
};

}  // namespace

std::string BenchTest::name() const {
  std::string name;
  if (prompt > 0) name = fmt::format("pp{}", prompt);
  if (generate > 0) name += fmt::format("{}tg{}", prompt > 0 ? "+" : "", generate);
  if (depth > 0) name += fmt::format(" @ d{}", depth);
  return name;
}

std::vector<double> BenchResult::rates() const {
  std::vector<double> rates;
  for (const double s : seconds) rates.push_back(static_cast<double>(test.tokens()) / s);
  return rates;
}

double mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double standard_deviation(std::span<const double> values) {
  if (values.size() < 2) return 0;
  const double centre = mean(values);
  double squares = 0;
  for (const double value : values) squares += (value - centre) * (value - centre);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

BenchResult run_bench(Engine& engine, const BenchTest& test, const BenchOptions& options,
                      const std::function<void(int)>& progress, const Stop& stop) {
  if (test.tokens() < 1 || test.context() > engine.context()) {
    fail(ErrorCode::kInvalidUsage, "test {} of {} tokens: want 1..{}", test.name(), test.context(),
         engine.context());
  }
  constexpr uint32_t kSeed = 20240;
  const auto tell = [&](int repetition) {
    if (progress) progress(repetition);
  };
  Runner runner(engine, options, stop);
  if (options.warmup) {
    tell(-1);
    runner.seed(kSeed);
    runner.prompt(test.prompt, true);
    if (test.generate > 0) runner.prompt(1, true);
    runner.go_back(0);
  }
  BenchResult result{.test = test};
  for (int i = 0; i < options.repetitions; ++i) {
    tell(i);
    runner.seed(kSeed);
    if (!runner.go_back(test.depth)) runner.prompt(test.depth, false);
    runner.seed(kSeed + 1 + static_cast<uint32_t>(i));
    engine.reset_stats();
    runner.measure(test, result);
    result.stats += engine.stats();
  }
  return result;
}

}  // namespace st

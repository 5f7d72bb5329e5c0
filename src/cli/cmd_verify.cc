#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "cli/args.h"
#include "cli/interrupt.h"
#include "cli/model_args.h"
#include "cli/report.h"
#include "cli/streams.h"
#include "cli/text_args.h"
#include "study/verify.h"

namespace st {
namespace {

class Verify {
 public:
  explicit Verify(const VerifyArgs& args)
      : args_(args), source_{.file = args.file, .whole = true} {}

  int run() {
    const std::vector<VerifyCase> cases =
        verify_cases(args_.threads, args_.micro_batch, args_.memory);
    check_budgets();
    std::optional<Engine> engine;
    for (const VerifyCase& c : cases) {
      const VerifyCase* last = &c == cases.data() ? nullptr : &c - 1;
      if (!last || last->threads != c.threads || last->micro_batch != c.micro_batch ||
          last->memory != c.memory) {
        engine.reset();  // its memory first
        engine.emplace(load(c, !last));
      }
      check(*engine, c);
    }
    if (!difference_.empty()) fail(ErrorCode::kInvalidData, "{}", difference_);
    print_out("{} kernels: {} combinations, the logits of {} tokens are the same to the bit\n",
              engine->kernels(), cases.size(), tokens_.size());
    return kExitOk;
  }

 private:
  // One that is too small is refused before a row is printed: for the most threads, and for any run
  // because there are many here.
  void check_budgets() {
    const int64_t threads = *std::ranges::max_element(args_.threads);
    const int64_t micro_batch = *std::ranges::min_element(args_.micro_batch);
    for (const uint64_t memory : args_.memory) {
      check_engine(model_args({static_cast<int>(threads), micro_batch, memory}), unread_text());
    }
  }

  Engine load(const VerifyCase& c, bool first) {
    return load_engine(model_args(c), first, unread_text());
  }

  ModelArgs model_args(const VerifyCase& c) const {
    ModelArgs model = args_.model;
    model.threads = c.threads;
    model.context = args_.tokens;
    model.micro_batch = c.micro_batch;
    model.memory = c.memory;
    model.hot_set = c.memory > 0 ? args_.model.hot_set : "";
    model.progress = args_.model.progress && ::isatty(STDERR_FILENO) != 0;
    return model;
  }

  // Who first plans memory reads the text; null after that.
  TextTokens* unread_text() {
    return std::exchange(text_is_read_, true) || args_.file.empty() ? nullptr : &text_;
  }

  void check(Engine& engine, const VerifyCase& c) {
    const bool first = tokens_.empty();
    if (first) {
      tokens_ = choose_tokens(engine.tokenizer());
      print_out("{:>7}  {:>11}  {:>9}  {:<14}  {}\n", "threads", "micro-batch", "memory", "prompt",
                "logits");
    }
    std::vector<uint64_t> hashes;
    {
      const GracefulStop graceful;
      hashes = hash_logits(engine, tokens_, c.split, interrupt_stop());
    }
    if (first) expected_ = hashes;
    const auto at = first_difference(expected_, hashes);
    print_out("{:>7}  {:>11}  {:>9}  {:<14}  {:016x}{}\n", c.threads, c.micro_batch,
              budget_of(engine), split_name(c.split), hash_of(hashes),
              at ? fmt::format("  differs from position {} on", *at) : "");
    flush_out();
    if (at && difference_.empty()) {
      difference_ = fmt::format(
          "{} kernels: logits differ at position {} with {} threads, micro-batch {}, memory {}, {}",
          engine.kernels(), *at, c.threads, c.micro_batch, budget_of(engine), split_name(c.split));
    }
  }

  std::vector<Token> choose_tokens(const Tokenizer& tokenizer) const {
    if (args_.file.empty()) return verify_tokens(tokenizer, args_.tokens);
    const std::vector<Token>& tokens = text_.tokens();
    if (tokens.empty()) {
      fail(ErrorCode::kInvalidData, "{}: no text to verify with", printable_path(args_.file));
    }
    return tokens;
  }

  static std::string budget_of(const Engine& engine) {
    const auto memory = engine.memory();
    return memory ? format_bytes(memory->plan.budget) : "-";
  }

  // One number for a whole run, to show.
  static uint64_t hash_of(std::span<const uint64_t> rows) {
    uint64_t hash = 0;
    for (const uint64_t row : rows) hash = (hash ^ row) * 0x9E3779B97F4A7C15;
    return hash;
  }

  const VerifyArgs& args_;
  const TextArgs source_;
  TextTokens text_ = TextTokens::windows(source_, 1);  // as many as a context has
  bool text_is_read_ = false;
  std::vector<Token> tokens_;
  std::vector<uint64_t> expected_;
  std::string difference_;
};

}  // namespace

int execute(const VerifyArgs& args) {
  check_model_outputs(args.model, {args.file});
  return Verify(args).run();
}

}  // namespace st

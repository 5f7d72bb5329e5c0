#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <optional>

#include "base/clock.h"
#include "base/error.h"
#include "cli/args.h"
#include "cli/interrupt.h"
#include "cli/model_args.h"
#include "cli/report.h"
#include "cli/streams.h"
#include "cli/text_args.h"

namespace st {
namespace {

void write(std::string_view text, bool raw) { raw ? write_out_raw(text) : write_out(text); }

// So that it is seen at once, and an Error as soon as nobody reads any more.
void print(std::string_view text, bool raw) {
  write(text, raw);
  flush_out();
}

// In parts that end with whole characters, as a terminal is shown bytes that are none as \xNN.
void print_tokens(const Tokenizer& tokenizer, std::span<const Token> tokens, bool raw) {
  constexpr size_t kMuch = size_t{1} << 16;
  std::string text;
  for (const Token token : tokens) {
    text += tokenizer.piece(token, true);
    const bool whole = text.empty() || static_cast<unsigned char>(text.back()) < 0x80;
    if (whole || text.size() > kMuch) {
      write(text, raw);
      text.clear();
    }
  }
  print(text, raw);
}

// Throws, before anything is printed, what set_memory() would throw in the middle of a text.
void check_changes(const Engine& engine, std::span<const MemoryChange> changes) {
  for (const MemoryChange& change : changes) engine.check_memory(change.bytes);
}

void print_timings(const Engine& engine, const GenerateResult& result, double load_seconds) {
  const auto rate = [](int64_t tokens, double seconds) {
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0;
  };
  print_err("\nload        {:8.3f} s  {}, {} kernels, {} threads\n", load_seconds,
            describe_weights(engine.model().store()), engine.kernels(), engine.threads());
  print_err("prompt      {:8.3f} s  {} tokens, {:.2f} tok/s\n", result.prompt_seconds,
            result.prompt_tokens, rate(result.prompt_tokens, result.prompt_seconds));
  print_err("generation  {:8.3f} s  {} tokens, {:.2f} tok/s{}\n", result.generation_seconds,
            result.generated_tokens, rate(result.evaluated_tokens, result.generation_seconds),
            describe_drafts(result.drafts));
  if (const LmHeadAgreement& seen = engine.head_agreement(); seen.steps > 0) {
    const auto steps = static_cast<double>(seen.steps);
    print_err("lm head     sparse keeps the best row in {:.1f} %, {:.1f} % of the best 20\n",
              100 * static_cast<double>(seen.best_kept) / steps,
              5 * static_cast<double>(seen.top20_kept) / steps);
  }
  if (const auto memory = engine.memory()) {
    print_receipt(*memory, result.prompt_tokens + result.generated_tokens,
                  result.prompt_seconds + result.generation_seconds);
  } else {
    print_err("peak memory {:>10}\n", format_bytes(peak_memory_bytes()));
  }
}

// What is recorded or counted of each pass is that of tokens which stay, and the same in each run.
bool runs_as_is(const ModelArgs& args) {
  return !args.record_routing.empty() || args.lm_head == LmHead::kCheck;
}

}  // namespace

// Without a text, somebody at a terminal wants to talk.
bool wants_chat(const RunArgs& args) {
  return args.chat && !args.text.prompt && args.text.file.empty() && ::isatty(STDIN_FILENO) != 0 &&
         ::isatty(STDOUT_FILENO) != 0;
}

ChatArgs as_chat(const RunArgs& args) {
  ChatArgs chat;
  chat.model = args.model;
  chat.settings.answer = args.generate.session;
  return chat;
}

int execute(const RunArgs& args) {
  if (wants_chat(args)) return execute(as_chat(args));
  check_model_outputs(args.model, {text_file(args.text)});
  const auto start = Clock::now();
  ModelArgs model = args.model;
  model.micro_batch = std::min(model.micro_batch, model.batch);
  TextTokens prompt = TextTokens::prompt(args.text);  // refused before anything is printed
  Engine engine = load_engine(model, true, &prompt, {}, true);
  const double load_seconds = seconds_since(start);
  RoutingRecording recording(args.model.record_routing);
  recording.attach(engine);
  std::atomic<int64_t> seen = 0;  // tokens
  const auto loaded = Clock::now();
  const std::vector<Token>& tokens = prompt.tokens();
  check_changes(engine, args.memory_changes);
  std::function<void()> last_words;
  if (engine.memory()) {
    last_words = [&] { print_receipt(*engine.snapshot().memory, seen, seconds_since(loaded)); };
  }
  const GracefulStop graceful(last_words);
  // BOS was not asked for: the vocabulary puts it there.
  const size_t shown = engine.tokenizer().vocab().add_bos ? 1 : 0;
  if (args.display_prompt) {
    print_tokens(engine.tokenizer(), std::span(tokens).subspan(shown), args.raw);
  }
  auto change = args.memory_changes.begin();
  GenerateOptions options = args.generate;
  if (runs_as_is(args.model)) options.session.drafter = nullptr;
  options.after_pass = [&](int64_t generated) {
    seen = generated;
    if (change != args.memory_changes.end() && generated >= change->tokens) {
      engine.set_memory(change++->bytes);
    }
  };
  const GenerateResult result = generate(
      engine, tokens, options,
      [&](std::string_view text) {
        print(text, args.raw);
        return true;
      },
      interrupt_stop());
  print("\n", args.raw);
  const SamplerOptions& sampler = args.generate.session.sampler;
  const bool by_chance = sampler.seed == SamplerOptions().seed && sampler.temperature > 0;
  if (args.model.verbose || by_chance) print_err("\nseed {}", result.seed);  // to have it again
  if (result.reason == FinishReason::kContextFull) {
    print_err("\nnote: stopped because the context of {} tokens is full", engine.context());
  }
  recording.finish();
  print_timings(engine, result, load_seconds);
  return interrupt_stop().requested() ? kExitInterrupted : kExitOk;
}

int execute(const PrintArgs& args) {
  write_out(args.text);
  return kExitOk;
}

}  // namespace st

#include <algorithm>
#include <atomic>
#include <optional>

#include "base/error.h"
#include "cli/args.h"
#include "cli/interrupt.h"
#include "cli/model_args.h"
#include "cli/outputs.h"
#include "cli/prompt.h"
#include "cli/receipt.h"
#include "cli/reference_env.h"
#include "cli/report.h"
#include "cli/routing_recording.h"
#include "cli/streams.h"
#include "cli/text_tokens.h"

namespace st {
namespace {

// So that it is seen at once, and an Error as soon as nobody reads any more.
void print(std::string_view text) {
  write_out(text);
  flush_out();
}

void print_timings(const Engine& engine, const GenerateResult& result, double load_seconds) {
  const auto rate = [](int64_t tokens, double seconds) {
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0;
  };
  print_err("\nload        {:8.3f} s  {} of weights, {} kernels, {} threads\n", load_seconds,
            format_bytes(engine.weight_bytes()), engine.kernels(), engine.threads());
  print_err("prompt      {:8.3f} s  {} tokens, {:.2f} tok/s\n", result.prompt_seconds,
            result.prompt_tokens, rate(result.prompt_tokens, result.prompt_seconds));
  print_err("generation  {:8.3f} s  {} tokens, {:.2f} tok/s\n", result.generation_seconds,
            result.generated_tokens, rate(result.evaluated_tokens, result.generation_seconds));
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

}  // namespace

int execute(const RunArgs& args) {
  if (const auto bundle = reference_bundle_to_generate(args.model)) return execute(*bundle);
  check_model_outputs(args.model, {text_file(args.text)});
  const double start = seconds_since_start();
  ModelArgs model = args.model;
  model.micro_batch = std::min(model.micro_batch, model.batch);
  TextTokens prompt = TextTokens::prompt(args.text);  // refused before anything is printed
  Engine engine = load_engine(model, true, &prompt);
  const double load_seconds = seconds_since_start() - start;
  RoutingRecording recording(args.model.record_routing);
  recording.attach(engine);
  std::atomic<int64_t> seen = 0;  // tokens
  const double loaded = seconds_since_start();
  const std::vector<Token>& tokens = prompt.tokens();
  std::function<void()> last_words;
  if (engine.memory()) {
    last_words = [&] {
      print_receipt(*engine.snapshot().memory, seen, seconds_since_start() - loaded);
    };
  }
  const GracefulStop graceful(last_words);
  if (args.display_prompt) {
    for (const Token token : tokens) write_out(engine.tokenizer().piece(token, true));
    flush_out();
  }
  auto change = args.memory_changes.begin();
  GenerateOptions options = args.generate;
  options.before_token = [&](int64_t generated) {
    if (change != args.memory_changes.end() && generated >= change->tokens) {
      engine.set_memory(change++->bytes);
    }
  };
  const GenerateResult result = generate(
      engine, tokens, options,
      [&](std::string_view text) {
        ++seen;
        print(text);
        return true;
      },
      interrupt_stop());
  print("\n");
  if (args.model.verbose) print_err("\nseed {}", result.seed);
  if (result.reason == FinishReason::kContextFull) {
    print_err("\nnote: stopped because the context of {} tokens is full", engine.context());
  }
  recording.finish();
  print_timings(engine, result, load_seconds);
  return interrupt_stop().requested() ? kExitInterrupted : kExitOk;
}

int execute(const PrintArgs& args) {
  print(args.text);
  return kExitOk;
}

}  // namespace st

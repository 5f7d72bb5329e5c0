#include "engine/generate.h"

#include <chrono>
#include <optional>

#include "base/error.h"
#include "engine/scoped_sequence.h"

namespace st {
namespace {

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

std::vector<Token> non_empty(std::span<const Token> prompt, const Vocab& vocab) {
  if (!prompt.empty()) return {prompt.begin(), prompt.end()};
  const Token first = vocab.bos >= 0 ? vocab.bos : vocab.eos;
  if (first < 0)
    fail(ErrorCode::kInvalidUsage, "the prompt is empty and the model has no BOS token");
  return {first};
}

}  // namespace

GenerateResult generate(Engine& engine, std::span<const Token> given,
                        const GenerateOptions& options,
                        const std::function<bool(std::string_view)>& emit, const Stop& stop) {
  const std::vector<Token> prompt = non_empty(given, engine.tokenizer().vocab());
  const ScopedSequence sequence(engine.cache());
  Session session(engine.tokenizer(), engine.cache(), sequence.id(), options.session);
  session.feed(prompt);
  GenerateResult result{.seed = session.sampler().seed(), .prompt_tokens = std::ssize(prompt)};

  // What is pending evaluated; null once it was cancelled.
  const auto evaluate = [&]() -> const Outcome* {
    const Feed feed = session.next();
    const Outcome& outcome = engine.evaluate({&feed, 1}, stop).front();
    const bool cancelled = outcome.error && outcome.error->code() == ErrorCode::kCancelled;
    if (cancelled) result.reason = FinishReason::kStopped;
    return cancelled ? nullptr : &outcome;
  };
  const auto show = [&](const std::string& text) { return text.empty() || emit(text); };

  const Stopwatch prompt_time;
  const Outcome* outcome = evaluate();
  result.prompt_seconds = prompt_time.seconds();
  if (outcome == nullptr) return result;

  const Stopwatch generation_time;
  while (outcome != nullptr) {
    if (options.after_pass) options.after_pass(session.generated());
    std::optional<FinishReason> reason = session.take(*outcome);
    if (!show(session.take_text()) || (!reason && stop.requested())) {
      reason = FinishReason::kStopped;
    }
    if (reason) {
      result.reason = *reason;
      break;
    }
    outcome = evaluate();
  }
  result.generated_tokens = session.generated();
  result.evaluated_tokens = std::ssize(session.held()) - result.prompt_tokens;
  result.drafts = session.drafts();
  result.generation_seconds = generation_time.seconds();
  show(session.finish_text());
  return result;
}

}  // namespace st

#include "engine/generate.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "text/stream_decoder.h"

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

void check_prompt_fits(int64_t context, int64_t tokens) {
  if (tokens > context) {
    fail(ErrorCode::kInvalidData, "prompt {} tokens > context {}; -c allows more", tokens, context);
  }
}

GenerateResult generate(Engine& engine, std::span<const Token> given,
                        const GenerateOptions& options,
                        const std::function<bool(std::string_view)>& emit, const Stop& stop) {
  const Tokenizer& tokenizer = engine.tokenizer();
  const std::vector<Token> prompt = non_empty(given, tokenizer.vocab());
  const auto n = static_cast<int64_t>(prompt.size());
  check_prompt_fits(engine.context(), n);
  SamplerOptions sampling = options.sampler;
  if (options.ignore_eos) sampling.banned = tokenizer.vocab().end_of_generation;
  Sampler sampler(std::move(sampling));
  GenerateResult result{.seed = sampler.seed(), .prompt_tokens = n};

  std::span<const float> logits;
  // False if it was cancelled.
  const auto evaluate = [&](std::span<const BatchItem> batch) {
    try {
      logits = engine.evaluate(batch, stop);
    } catch (const Error& e) {
      if (e.code() != ErrorCode::kCancelled) throw;
      result.reason = FinishReason::kStopped;
      return false;
    }
    return true;
  };

  const Stopwatch prompt_time;
  const bool read = evaluate(make_batch(prompt, 0, false));
  result.prompt_seconds = prompt_time.seconds();
  if (!read) return result;
  for (const Token token : prompt) sampler.accept(token);

  const Stopwatch generation_time;
  StreamDecoder decoder;
  for (int64_t position = n;; ++position) {
    if (stop.requested()) {
      result.reason = FinishReason::kStopped;
      break;
    }
    if (options.before_token) options.before_token(result.generated_tokens);
    if (options.max_tokens >= 0 && result.generated_tokens >= options.max_tokens) {
      result.reason = FinishReason::kMaxTokens;
      break;
    }
    const Token token = sampler.sample(logits);
    sampler.accept(token);
    if (tokenizer.is_end_of_generation(token)) {
      result.reason = FinishReason::kEndOfGeneration;
      break;
    }
    ++result.generated_tokens;
    const bool known = token < tokenizer.size();  // rows beyond the tokenizer's ids are padding
    const std::string text = decoder.push(known ? tokenizer.piece(token, false) : std::string());
    if (!text.empty() && !emit(text)) {
      result.reason = FinishReason::kStopped;
      break;
    }
    if (result.generated_tokens == options.max_tokens) continue;  // its logits are not needed
    if (position >= engine.context()) {
      result.reason = FinishReason::kContextFull;
      break;
    }
    if (!evaluate(make_batch(std::span(&token, 1), position, false))) break;
    ++result.evaluated_tokens;
  }
  result.generation_seconds = generation_time.seconds();
  if (const std::string rest = decoder.finish(); !rest.empty()) emit(rest);
  return result;
}

}  // namespace st

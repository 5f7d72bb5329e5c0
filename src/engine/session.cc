#include "engine/session.h"

#include <utility>

#include "base/error.h"

namespace st {
namespace {

SamplerOptions sampling(const SessionOptions& options, const Tokenizer& tokenizer) {
  SamplerOptions sampler = options.sampler;
  if (options.ignore_eos) sampler.banned = tokenizer.vocab().end_of_generation;
  return sampler;
}

}  // namespace

void check_prompt_fits(int64_t context, int64_t tokens) {
  if (tokens > context) {
    fail(ErrorCode::kInvalidData, "prompt {} tokens > context {}; -c allows more", tokens, context);
  }
}

Session::Session(const Tokenizer& tokenizer, SequenceId sequence, int64_t context,
                 SessionOptions options, std::span<const Token> held)
    : tokenizer_(tokenizer),
      sequence_(sequence),
      context_(context),
      options_(std::move(options)),
      sampler_(sampling(options_, tokenizer)),
      length_(std::ssize(held)),
      stops_(options_.stop) {
  for (const Token token : held) sampler_.accept(token);
}

void Session::feed(std::span<const Token> tokens) {
  check_prompt_fits(context_, length_ + std::ssize(pending_) + std::ssize(tokens));
  pending_.insert(pending_.end(), tokens.begin(), tokens.end());
  for (const Token token : tokens) sampler_.accept(token);
  generated_ = 0;
  decoder_ = {};
  stops_ = StopTexts(options_.stop);
}

std::optional<FinishReason> Session::take(const Outcome& outcome) {
  length_ += outcome.tokens;
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(outcome.tokens));
  if (outcome.error) throw *outcome.error;
  return choose(outcome.logits);
}

std::optional<FinishReason> Session::choose(std::span<const float> logits) {
  if (generated_ == options_.max_tokens) return FinishReason::kMaxTokens;  // of none
  const Token token = sampler_.sample(logits);
  sampler_.accept(token);
  if (tokenizer_.is_end_of_generation(token)) return FinishReason::kEndOfGeneration;
  ++generated_;
  pending_.push_back(token);
  const bool known = token < tokenizer_.size();  // rows beyond the tokenizer's ids are padding
  text_ += stops_.push(decoder_.push(known ? tokenizer_.piece(token, false) : std::string()));
  if (stops_.stopped()) return FinishReason::kStopText;
  if (generated_ == options_.max_tokens) return FinishReason::kMaxTokens;
  if (length_ == context_) return FinishReason::kContextFull;
  return std::nullopt;
}

std::string Session::finish_text() {
  text_ += stops_.push(decoder_.finish());
  text_ += stops_.finish();
  return take_text();
}

}  // namespace st

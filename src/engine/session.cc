#include "engine/session.h"

#include <algorithm>
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

Session::Session(const Tokenizer& tokenizer, KvPool& cache, SequenceId sequence,
                 SessionOptions options, std::span<const Token> held)
    : tokenizer_(tokenizer),
      cache_(cache),
      sequence_(sequence),
      options_(std::move(options)),
      sampler_(sampling(options_, tokenizer)),
      tokens_(held.begin(), held.end()),
      length_(held.size()),
      stops_(options_.stop) {
  for (const Token token : held) sampler_.accept(token);
}

void Session::feed(std::span<const Token> tokens) {
  drop_draft();
  check_prompt_fits(cache_.context(), std::ssize(tokens_) + std::ssize(tokens));
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  for (const Token token : tokens) sampler_.accept(token);
  generated_ = 0;
  drafts_ = {};
  decoder_ = {};
  stops_ = StopTexts(options_.stop);
  if (options_.drafter) options_.drafter->begin();
}

Feed Session::next() const {
  const Wanted wanted = drafted_ > 0 ? Wanted::kEach : Wanted::kLast;
  return {sequence_, std::span(tokens_).subspan(length_), wanted};
}

std::optional<FinishReason> Session::take(const Outcome& outcome) {
  std::vector<Token> draft = drop_draft();
  if (outcome.error) return failed(outcome, !draft.empty());
  const size_t pending = tokens_.size() - length_;
  draft.resize(static_cast<size_t>(outcome.tokens) - pending);  // what was taken of it
  if (options_.drafter && pending == 1) {
    options_.drafter->timed(std::ssize(draft), outcome.seconds);
  }
  const std::optional<FinishReason> reason = choose_all(outcome.logits, draft);
  if (!reason) add_draft();
  return reason;
}

std::vector<Token> Session::drop_draft() {
  const auto begin = tokens_.end() - static_cast<ptrdiff_t>(std::exchange(drafted_, 0));
  std::vector<Token> draft(begin, tokens_.end());
  tokens_.erase(begin, tokens_.end());
  return draft;
}

// A draft is only a guess: what goes wrong with it may be its fault, and is not the answer's.
std::optional<FinishReason> Session::failed(const Outcome& outcome, bool with_draft) {
  if (with_draft) {
    cache_.truncate(sequence_, std::ssize(held()));
  } else {
    length_ += static_cast<size_t>(outcome.tokens);
  }
  if (!with_draft || outcome.error->code() == ErrorCode::kCancelled) throw *outcome.error;
  return std::nullopt;
}

// logits: (1 + draft, V)
std::optional<FinishReason> Session::choose_all(std::span<const float> logits,
                                                std::span<const Token> draft) {
  length_ = tokens_.size();
  if (draft.empty()) return choose(logits);
  // However it ends.
  struct AtEnd {
    Session& session;
    ~AtEnd() { session.cache_.truncate(session.sequence_, std::ssize(session.held())); }
  } const forget_rest{*this};
  drafts_.drafted += std::ssize(draft);
  const size_t V = logits.size() / (draft.size() + 1);
  for (const Token guess : draft) {
    const auto reason = choose(logits.first(V));
    if (reason || tokens_.back() != guess) return reason;
    ++drafts_.chosen;
    ++length_;
    logits = logits.subspan(V);
  }
  return choose(logits);
}

// As many tokens as there may be, and the sequence can go back.
void Session::add_draft() {
  if (!options_.drafter) return;
  int64_t most = std::min(cache_.context() - std::ssize(tokens_), cache_.most_back() - 1);
  if (options_.max_tokens >= 0) most = std::min(most, options_.max_tokens - generated_ - 1);
  const std::span<const Token> draft = options_.drafter->draft(tokens_, std::max<int64_t>(most, 0));
  drafted_ = draft.size();
  const std::vector<Token> copy(draft.begin(), draft.end());  // it may be a part of these
  tokens_.insert(tokens_.end(), copy.begin(), copy.end());
}

std::optional<FinishReason> Session::choose(std::span<const float> logits) {
  if (generated_ == options_.max_tokens) return FinishReason::kMaxTokens;  // of none
  const Token token = sampler_.sample(logits);
  sampler_.accept(token);
  if (tokenizer_.is_end_of_generation(token)) return FinishReason::kEndOfGeneration;
  ++generated_;
  tokens_.push_back(token);
  const bool known = token < tokenizer_.size();  // rows beyond the tokenizer's ids are padding
  text_ += stops_.push(decoder_.push(known ? tokenizer_.piece(token, false) : std::string()));
  if (stops_.stopped()) return FinishReason::kStopText;
  if (generated_ == options_.max_tokens) return FinishReason::kMaxTokens;
  if (std::ssize(held()) == cache_.context()) return FinishReason::kContextFull;
  return std::nullopt;
}

std::string Session::finish_text() {
  text_ += stops_.push(decoder_.finish());
  text_ += stops_.finish();
  return take_text();
}

}  // namespace st

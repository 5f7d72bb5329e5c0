// One conversation, inside out: a session says what is to be evaluated next and takes what came of
// it, but runs nothing. Whoever has the engine drives one session, or many together.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/drafter.h"
#include "engine/feed.h"
#include "engine/sampler.h"
#include "text/stop_texts.h"
#include "text/tokenizer.h"

namespace st {

enum class FinishReason { kEndOfGeneration, kMaxTokens, kContextFull, kStopText, kStopped };

struct SessionOptions {
  int64_t max_tokens = -1;  // of an answer; -1: until the model ends or the context is full
  bool ignore_eos = false;  // go on after end-of-generation tokens, and never choose one
  SamplerOptions sampler;
  std::vector<std::string> stop;  // texts that end an answer and are no part of it; none is empty
  std::shared_ptr<Drafter> drafter;  // of one session at a time; null: a token a pass
};

// Tokens of drafts, and how many of them were chosen.
struct DraftCount {
  int64_t drafted = 0;
  int64_t chosen = 0;

  DraftCount& operator+=(const DraftCount& other) {
    drafted += other.drafted;
    chosen += other.chosen;
    return *this;
  }
};

class Session {
 public:
  // Of a sequence of `cache`, which has evaluated `held` for it. `cache` and `tokenizer` outlive
  // the session.
  Session(const Tokenizer& tokenizer, KvPool& cache, SequenceId sequence, SessionOptions options,
          std::span<const Token> held = {});

  // Appends a prompt, or the next turn, and begins a new answer. Throws Error(kInvalidData) where
  // that does not fit the context.
  void feed(std::span<const Token> tokens);

  // What is to be evaluated before the next token can be chosen, and perhaps a draft of what comes
  // then; valid until take() or feed().
  Feed next() const;

  // Takes what came of next(), and chooses the next token; those after it, too, as far as they are
  // those of the draft, the rest of which the sequence then forgets. A reason: the answer is
  // finished. None: go on. Throws the outcome's error; next() is then what is left, and may be
  // tried again. What fails with a draft does not throw: next() is then the same without.
  std::optional<FinishReason> take(const Outcome& outcome);

  // Text of the answer since the last call: whole characters, nothing that may yet become a stop
  // text. At the end of the answer, however it ends, finish_text() has the rest.
  std::string take_text() { return std::exchange(text_, {}); }
  std::string finish_text();

  // What the sequence has evaluated of the text, between next() and take() without the draft.
  std::span<const Token> held() const { return std::span(tokens_).first(length_); }
  int64_t generated() const { return generated_; }  // tokens of the answer, the end's not counted
  const DraftCount& drafts() const { return drafts_; }  // of the answer
  const Sampler& sampler() const { return sampler_; }

 private:
  std::optional<FinishReason> failed(const Outcome& outcome, bool with_draft);
  std::optional<FinishReason> choose_all(std::span<const float> logits,
                                         std::span<const Token> draft);
  std::optional<FinishReason> choose(std::span<const float> logits);
  void add_draft();
  std::vector<Token> drop_draft();

  const Tokenizer& tokenizer_;
  KvPool& cache_;
  const SequenceId sequence_;
  const SessionOptions options_;
  Sampler sampler_;
  std::vector<Token> tokens_;  // first those that the cache holds, then those that are pending,
  size_t length_ = 0;          // so many of the first,
  size_t drafted_ = 0;         // and at the end so many of a draft
  int64_t generated_ = 0;
  DraftCount drafts_;
  StreamDecoder decoder_;
  StopTexts stops_;
  std::string text_;
};

// Throws Error(kInvalidData) when a prompt of `tokens` does not fit a context.
void check_prompt_fits(int64_t context, int64_t tokens);

}  // namespace st

// One conversation, inside out: a session says what is to be evaluated next and takes what came of
// it, but runs nothing. Whoever has the engine drives one session, or many together.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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
};

class Session {
 public:
  // Of an engine whose sequences have up to `context` positions; `sequence` is in its cache, which
  // has evaluated `held` for it. `tokenizer` outlives the session.
  Session(const Tokenizer& tokenizer, SequenceId sequence, int64_t context, SessionOptions options,
          std::span<const Token> held = {});

  // Appends a prompt, or the next turn, and begins a new answer. Throws Error(kInvalidData) where
  // that does not fit the context.
  void feed(std::span<const Token> tokens);

  // What is to be evaluated before the next token can be chosen; valid until take() or feed().
  Feed next() const { return {sequence_, pending_, Wanted::kLast}; }

  // Takes what came of next(), and chooses the next token. A reason: the answer is finished. None:
  // go on. Throws the outcome's error; next() is then what is left, and may be tried again.
  std::optional<FinishReason> take(const Outcome& outcome);

  // Text of the answer since the last call: whole characters, nothing that may yet become a stop
  // text. At the end of the answer, however it ends, finish_text() has the rest.
  std::string take_text() { return std::exchange(text_, {}); }
  std::string finish_text();

  int64_t generated() const { return generated_; }  // tokens of the answer, the end's not counted
  const Sampler& sampler() const { return sampler_; }

 private:
  std::optional<FinishReason> choose(std::span<const float> logits);

  const Tokenizer& tokenizer_;
  const SequenceId sequence_;
  const int64_t context_;
  const SessionOptions options_;
  Sampler sampler_;
  std::vector<Token> pending_;  // not in the cache yet
  int64_t length_ = 0;          // positions in the cache
  int64_t generated_ = 0;
  StreamDecoder decoder_;
  StopTexts stops_;
  std::string text_;
};

// Throws Error(kInvalidData) when a prompt of `tokens` does not fit a context.
void check_prompt_fits(int64_t context, int64_t tokens);

}  // namespace st

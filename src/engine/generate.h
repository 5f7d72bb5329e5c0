// Text in, text out: evaluates a prompt and samples until something says stop.
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include "engine/engine.h"
#include "engine/session.h"

namespace st {

struct GenerateOptions {
  SessionOptions session;
  // Called after each pass, before tokens are chosen, with the number of those generated so far;
  // may be empty.
  std::function<void(int64_t generated)> after_pass;
};

struct GenerateResult {
  FinishReason reason = FinishReason::kMaxTokens;
  uint32_t seed = 0;
  int64_t prompt_tokens = 0;
  int64_t generated_tokens = 0;  // the final end-of-generation token not counted
  int64_t evaluated_tokens = 0;  // of these: went through the model
  DraftCount drafts;
  double prompt_seconds = 0;
  double generation_seconds = 0;
};

// In a sequence of its own. `emit` gets the bytes of tokens, cut at character boundaries, as soon
// as they are chosen; it returns false to stop. Once `stop` is requested the result is what there
// is by then, kStopped. Throws Error(kInvalidData) when the prompt does not fit the context, before
// any work. An empty prompt starts from the model's BOS token.
GenerateResult generate(Engine& engine, std::span<const Token> prompt,
                        const GenerateOptions& options,
                        const std::function<bool(std::string_view)>& emit,
                        const Stop& stop = Stop::never());

}  // namespace st

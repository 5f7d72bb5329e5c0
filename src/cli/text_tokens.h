// The tokens of a text that users hand in, as many as are wanted, in memory that does not grow with
// the text.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "cli/args.h"
#include "cli/prompt.h"
#include "engine/engine.h"
#include "text/tokenizer.h"

namespace st {

class TextTokens {
 public:
  // A prompt must fit a context. Of a text for windows as long as a context, the first so many are
  // kept (0: all), the others are counted.
  static TextTokens prompt(const TextArgs& text) { return {text, true, true, 1}; }
  static TextTokens windows(const TextArgs& text, int64_t n) { return {text, false, false, n}; }

  // EngineOptions::encode: reads the text. Throws as read_parts() does, and Error(kInvalidData)
  // for a prompt that is too long.
  uint64_t encode(const TextRoom& room);

  std::string source() const { return text_source(text_); }
  const std::vector<Token>& tokens() const { return tokens_; }
  int64_t count() const { return count_; }  // of the whole text

 private:
  TextTokens(const TextArgs& text, bool parse_special, bool is_prompt, int64_t windows)
      : text_(text), parse_special_(parse_special), is_prompt_(is_prompt), windows_(windows) {}

  const TextArgs& text_;
  const bool parse_special_, is_prompt_;
  const int64_t windows_;
  std::vector<Token> tokens_;
  int64_t count_ = 0;
};

}  // namespace st

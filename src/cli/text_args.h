// Text and token ids that users hand in: read in pieces, and encoded as they come, so that memory
// does not grow with the text.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/args.h"
#include "engine/engine.h"
#include "text/tokenizer.h"

namespace st {

// -p with its escapes, or -f or standard input, which is asked for if it is a terminal, without the
// line feed they may end with, as llama.cpp reads prompts. A file may be a pipe. Comes in pieces,
// until `take` returns false. Throws Error(kNotFound | kInvalidData | kIo); of what has no size of
// its own more than 1 GiB is refused.
void read_text(const TextArgs& args, const std::function<bool(std::string_view)>& take);
// What it calls the text in its errors: the file, or "standard input".
std::string text_source(const TextArgs& args);
// Bytes of the text at most, if that is known beforehand.
std::optional<uint64_t> text_size(const TextArgs& args);
// The file that text comes from; empty if it was given itself.
std::string text_file(const TextArgs& args);

// All of standard input.
std::string read_stdin();

// "1,2 3" -> ids. Throws Error(kInvalidUsage) for anything but integers in 0..limit-1.
std::vector<Token> parse_ids(std::string_view text, int64_t limit);

// \n \r \t \' \" \\ and \xHH become what they mean, as in llama.cpp; any other backslash stays, so
// that formulas and paths do.
std::string process_escapes(std::string_view text);

// The tokens of a text, as many as are wanted.
class TextTokens {
 public:
  // A prompt must fit a context. Of a text for windows as long as a context, the first so many are
  // kept (0: all), the others are counted.
  static TextTokens prompt(const TextArgs& text) { return {text, true, true, 1}; }
  static TextTokens windows(const TextArgs& text, int64_t n) { return {text, false, false, n}; }

  // EngineOptions::encode: reads the text. Throws as read_text() does, and Error(kInvalidData)
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

// What a model writes, taken apart while it is written: what it thinks, what it says, which tools
// it calls.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "chat/message.h"

namespace st {

// How a family of models writes. All words are ASCII and begin with a character that is no white
// space.
struct OutputFormat {
  std::string_view name;
  std::string_view reasoning_open, reasoning_close;
  std::string_view call_open, call_close;      // around a JSON object
  std::string_view call_name, call_arguments;  // keys of that object
};
// "hermes": Hermes 2 and 3, Qwen2.5, Qwen3. nullptr if there is none of this name.
const OutputFormat* find_output_format(std::string_view name);

struct OutputEvent {
  enum Kind {
    kReasoning,  // more of it
    kContent,    // more of it
    kCallBegun,  // the name of a tool
    kArguments,  // more of those of the call that was begun last, as they are written
    kCallEnded,  // nothing more of it follows
  };
  Kind kind;
  std::string text = {};  // empty only with kCallEnded

  bool operator==(const OutputEvent&) const = default;
};

struct OutputParserOptions {
  const OutputFormat* format = find_output_format("hermes");
  bool in_reasoning = false;            // the prompt opened it
  std::vector<std::string> tools = {};  // names that may be called; none: calls are mere text
  uint64_t first_call = 0;              // number of the first call's id: see call_id()
};

// The same message however the text is cut into pieces, and the same texts of events, joined. What
// may become a tag is held back, and the white space before what may become a call. Text is what a
// Session gives: whole characters, free of stop texts.
//
// Reasoning is what begins with its tag, first of all; in it only the tag that ends it counts. A
// call is announced when its name is known and its arguments begin. A call of a tool that is not
// offered, or of no JSON, is content.
class OutputParser {
 public:
  explicit OutputParser(OutputParserOptions options = {});
  ~OutputParser();

  // Takes the next piece of text; returns what is known by now.
  std::vector<OutputEvent> push(std::string_view piece);

  // The end of the text, once. `cut`: by a limit, not by the model: of a call that was not
  // announced yet nothing is shown.
  std::vector<OutputEvent> finish(bool cut);

  // An assistant's message, with all there is by now.
  const Message& message() const;
  // As OpenAI names them, after finish(): "length" if cut, else "tool_calls" or "stop".
  std::string_view finish_reason() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace st

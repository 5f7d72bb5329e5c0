// Lines that somebody types: with editing where libedit is there and the terminal understands it,
// otherwise as the terminal hands them over.
//
// Enter ends a message unless it goes on (typed_message.h), Alt+Enter is a line feed. Pasted text
// is one piece, line feeds included. Ctrl-G edits in $VISUAL or $EDITOR, Tab completes, and the
// arrows reach what was typed before, also in earlier runs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/interrupt.h"

namespace st {

struct Typed {
  enum class End : uint8_t { kEnter, kInterrupt, kEndOfInput };
  End end = End::kEnter;
  std::string text;  // of kInterrupt: what had been typed, and is given up
};

// What the last word of a line could become.
struct Completion {
  size_t begin = 0;                // of the word, in the line
  std::vector<std::string> words;  // that begin with it
};

class LineEditor {
 public:
  virtual ~LineEditor() = default;
  // `offered` stands in the line at first.
  virtual Typed read(const std::string& offered) = 0;
};

struct LineEditorOptions {
  bool prompts = true;   // somebody sees them
  int screen = 1;        // standard output or error, whichever the terminal is
  bool editing = false;  // it understands sequences
  bool color = false;
  std::string history;                                        // file; empty: none
  std::function<Completion(std::string_view line)> complete;  // the line up to the cursor
};
std::unique_ptr<LineEditor> make_line_editor(LineEditorOptions options,
                                             TakenInterrupts& interrupts);

// Writes to standard output or error, at once, the bytes as they are.
void show_on(int screen, std::string_view text);

// A text in the user's editor; false if that failed.
bool edit_outside(std::string& text);

}  // namespace st

#include "cli/terminal/line_editor.h"

#include <unistd.h>

#include "cli/streams.h"
#include "cli/terminal/key_input.h"
#include "cli/terminal/terminal.h"
#include "cli/terminal/typed_message.h"
#ifdef ST_LIBEDIT
#include "cli/terminal/edited_lines.h"
#endif

namespace st {
namespace {

// The terminal itself has lines edited.
class PlainLines final : public LineEditor {
 public:
  PlainLines(const LineEditorOptions& options, TakenInterrupts& interrupts)
      : prompts_(options.prompts), screen_(options.screen), keys_(interrupts) {}

  Typed read(const std::string& offered) override {
    std::string text;
    if (prompts_ && !offered.empty()) show_on(screen_, offered + "\n");
    for (std::string_view prompt = "> "; true; prompt = "... ") {
      if (prompts_) show_on(screen_, prompt);
      const Typed::End end = read_line(text);
      if (end == Typed::End::kInterrupt) return {end, text};
      if (end == Typed::End::kEndOfInput) return {text.empty() ? end : Typed::End::kEnter, text};
      const Continues how = continues(text);
      if (how == Continues::kNo) return {end, typed_message(text)};
      if (how == Continues::kAfterBackslash) text.pop_back();
      text += '\n';
    }
  }

 private:
  Typed::End read_line(std::string& text) {
    for (char byte = 0; true;) {
      switch (keys_.next(byte)) {
        case KeyInput::Event::kByte:
          if (byte == '\n') return Typed::End::kEnter;
          text += byte;
          break;
        case KeyInput::Event::kInterrupt:
          if (prompts_) show_on(screen_, "\n");
          return Typed::End::kInterrupt;
        case KeyInput::Event::kRedraw:
          break;
        case KeyInput::Event::kEnd:
          return Typed::End::kEndOfInput;
      }
    }
  }

  const bool prompts_;
  const int screen_;
  TerminalModes modes_{-1};
  KeyInput keys_;
};

}  // namespace

std::unique_ptr<LineEditor> make_line_editor(LineEditorOptions options,
                                             TakenInterrupts& interrupts) {
#ifdef ST_LIBEDIT
  if (options.editing) return make_edited_lines(std::move(options), interrupts);
#endif
  return std::make_unique<PlainLines>(options, interrupts);
}

void show_on(int screen, std::string_view text) {
  if (screen == STDERR_FILENO) {
    write_err(text);
    return;
  }
  write_out_raw(text);
  flush_out();
}

}  // namespace st

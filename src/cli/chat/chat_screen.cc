#include "cli/chat/chat_screen.h"

#include <unistd.h>

#include <utility>

#include "cli/streams.h"
#include "cli/terminal/line_editor.h"

namespace st {
namespace {

constexpr std::string_view kDim = "\x1b[2m", kPlain = "\x1b[0m";

}  // namespace

ChatScreen::ChatScreen(ColorChoice color, char end)
    : out_terminal_(::isatty(STDOUT_FILENO) != 0),
      fd_(out_terminal_ ? STDOUT_FILENO : STDERR_FILENO),
      terminal_(::isatty(fd_) != 0),
      sequences_(st::has_sequences(fd_)),
      color_(shows_color(fd_, color)),
      end_(end) {}

void ChatScreen::answer(std::string_view text) {
  clear_status();
  end_reasoning();
  in_answer_ = true;
  if (out_terminal_) {
    write_out_raw(wrap_.add(for_terminal(text), columns()));
  } else {
    write_out_raw(text);
  }
  flush_out();
}

void ChatScreen::reasoning(std::string_view text) {
  clear_status();
  if (!thinking_ && color_) show_on(fd_, kDim);
  thinking_ = true;
  show_on(fd_, terminal_ ? wrap_.add(for_terminal(text), columns()) : std::string(text));
}

void ChatScreen::end_reasoning() {
  if (!std::exchange(thinking_, false)) return;
  show_on(fd_, wrap_.finish());
  if (color_) show_on(fd_, kPlain);
  show_on(fd_, wrap_.column() > 0 || !terminal_ ? "\n\n" : "\n");
  wrap_ = {};
}

void ChatScreen::end_answer() {
  clear_status();
  end_reasoning();
  if (!std::exchange(in_answer_, false)) return;
  write_out_raw(wrap_.finish());
  if (!out_terminal_) {
    write_out_raw({&end_, 1});
  } else if (wrap_.column() > 0) {
    write_out_raw("\n");
  }
  flush_out();
  wrap_ = {};
}

std::string ChatScreen::wrapped(std::string_view lines) const {
  if (!terminal_) return std::string(lines);
  WordWrap wrap;
  std::string out = wrap.add(lines, columns());
  return out + wrap.finish();
}

void ChatScreen::say(std::string_view lines) { show(wrapped(lines)); }

void ChatScreen::remark(std::string_view lines) {
  std::string text = wrapped(lines);
  if (color_) text = std::string(kDim) + text + std::string(kPlain);
  show(text);
}

void ChatScreen::show(std::string_view bytes) {
  clear_status();
  show_on(fd_, bytes);
}

void ChatScreen::status(std::string_view text) {
  if (!sequences_) return;
  show_on(fd_, "\r\x1b[K" + (color_ ? std::string(kDim) + std::string(text) + std::string(kPlain)
                                    : std::string(text)));
  has_status_ = true;
}

void ChatScreen::clear_status() {
  if (std::exchange(has_status_, false)) show_on(fd_, "\r\x1b[K");
}

}  // namespace st

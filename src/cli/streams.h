// Standard output and standard error; all that the command prints goes through here.
//
// What happens to standard error is nobody's failure: it may be closed, full, or a pipe that nobody
// reads. Standard output is what was asked for: an Error if it cannot be written.
#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>
#include <utility>

namespace st {

// Opens those of descriptors 0, 1 and 2 that are closed on /dev/null, so that no file of ours ever
// has such a number. To be called before anything else.
void open_standard_streams();

void write_err(std::string_view text) noexcept;
void format_err(fmt::string_view format, fmt::format_args args) noexcept;

template <typename... Args>
void print_err(fmt::format_string<Args...> format, Args&&... args) noexcept {
  format_err(format, fmt::make_format_args(args...));
}

// On a terminal, control bytes of `text` other than line feeds and tabs are shown as \xNN: what a
// model or a file says is no command to it. Pipes and files get the bytes as they are. Throws
// Error(kIo); Error(kCancelled) if Ctrl-C ended the waiting for a reader.
void write_out(std::string_view text);
void write_out_raw(std::string_view text);  // the bytes as they are, whoever gets them
void flush_out();
// What a terminal is shown of `text`.
std::string for_terminal(std::string_view text);

template <typename... Args>
void print_out(fmt::format_string<Args...> format, Args&&... args) {
  write_out(fmt::format(format, std::forward<Args>(args)...));
}

// Ends the lines that were begun on both, so that what follows has one of its own.
void end_lines() noexcept;
// That of standard error, if nobody has to wait for it; a signal handler may call it.
void end_err_line_at_once() noexcept;

}  // namespace st

// Errors as values with a place: what was being read, what is wrong, what would be right.
//
// st::Error is thrown while opening, parsing, converting or loading; never from kernels. The
// library never prints, exits or aborts on bad input: whoever sits at the edge (the command line, a
// C API) turns an Error into one line or a status code.
#pragma once

#include <fmt/core.h>

#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace st {

enum class ErrorCode {
  kInvalidData,   // a file or text breaks its format
  kUnsupported,   // well-formed, but nothing we can run
  kNotFound,      // cannot open
  kIo,            // the operating system refused or failed
  kOutOfMemory,   // an allocation we could not get
  kInvalidUsage,  // the caller asked for something out of range
  kCancelled,     // interrupted by the user
};

class Error : public std::exception {
 public:
  Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}

  ErrorCode code() const noexcept { return code_; }
  const char* what() const noexcept override { return message_.c_str(); }

  // The same error seen from one level further out: "object: message". Cancellation stays as it is.
  Error within(std::string_view object) const;

 private:
  ErrorCode code_;
  std::string message_;
};

// Throws Error(code, formatted message). Values that come from a file go through printable() first.
template <typename... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// `text` made safe for a terminal and a log line: control bytes, DEL and invalid UTF-8 become \xNN,
// and anything beyond `max_bytes` is cut with "...".
std::string printable(std::string_view text, size_t max_bytes = 128);

// Runs `body`; an Error it throws leaves with `object` in front of its message.
template <typename Body>
decltype(auto) with_context(std::string_view object, Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (const Error& e) {
    throw e.within(object);
  }
}

// As printable(), but whole: a path that is cut names no file.
std::string printable_path(std::string_view path);

}  // namespace st

// Parts of marked texts.
#pragma once

#include <string_view>

#include "text/marked_text.h"

namespace st::jinja {

inline MarkedText marked(std::string_view bytes, bool trusted) {
  MarkedText text;
  text.append(bytes, trusted);
  return text;
}

void append(MarkedText& out, const MarkedText& more);

bool all_trusted(const MarkedText& text);

// A text from its beginning to its end, in pieces.
class MarkedReader {
 public:
  explicit MarkedReader(const MarkedText& text) : text_(text) {}

  size_t position() const { return position_; }
  size_t left() const { return text_.bytes.size() - position_; }
  // REQUIRES, of both: there are so many bytes left.
  MarkedText take(size_t bytes);
  void take(size_t bytes, MarkedText& out);
  // Passes `bytes`; whether all of them are trusted.
  bool skip(size_t bytes);

 private:
  template <typename Use>
  void advance(size_t bytes, Use use);

  const MarkedText& text_;
  size_t position_ = 0;
  size_t run_ = 0;     // that holds position_
  size_t in_run_ = 0;  // bytes of it that are passed
};

// `bytes` from `begin` on. REQUIRES: there are so many.
MarkedText part(const MarkedText& text, size_t begin, size_t bytes);

}  // namespace st::jinja

#include "jinja/marks.h"

#include <algorithm>

namespace st::jinja {

void append(MarkedText& out, const MarkedText& more) {
  size_t at = 0;
  for (const MarkedText::Run& run : more.runs) {
    out.append(std::string_view(more.bytes).substr(at, run.size), run.trusted);
    at += run.size;
  }
}

bool all_trusted(const MarkedText& text) {
  return std::ranges::all_of(text.runs, [](const MarkedText::Run& run) { return run.trusted; });
}

// Calls `use` with each stretch of the next `bytes` that has one mark.
template <typename Use>
void MarkedReader::advance(size_t bytes, Use use) {
  while (bytes > 0) {
    const MarkedText::Run& run = text_.runs[run_];
    const size_t here = std::min(bytes, run.size - in_run_);
    use(std::string_view(text_.bytes).substr(position_, here), run.trusted);
    position_ += here;
    in_run_ += here;
    bytes -= here;
    if (in_run_ == run.size) {
      ++run_;
      in_run_ = 0;
    }
  }
}

void MarkedReader::take(size_t bytes, MarkedText& out) {
  advance(bytes, [&](std::string_view piece, bool trusted) { out.append(piece, trusted); });
}

MarkedText MarkedReader::take(size_t bytes) {
  MarkedText out;
  take(bytes, out);
  return out;
}

bool MarkedReader::skip(size_t bytes) {
  bool all = true;
  advance(bytes, [&](std::string_view, bool trusted) { all = all && trusted; });
  return all;
}

MarkedText part(const MarkedText& text, size_t begin, size_t bytes) {
  MarkedReader reader(text);
  reader.skip(begin);
  return reader.take(bytes);
}

}  // namespace st::jinja

#include "text/stop_texts.h"

#include <algorithm>
#include <utility>

namespace st {
namespace {

// Bytes at the end of `text` that some longer text of `texts` begins with.
size_t begun(std::string_view text, const std::vector<std::string>& texts) {
  size_t longest = 0;
  for (const std::string& stop : texts) {
    for (size_t n = std::min(stop.size() - 1, text.size()); n > longest; --n) {
      if (text.ends_with(std::string_view(stop).substr(0, n))) longest = n;
    }
  }
  return longest;
}

}  // namespace

StopTexts::StopTexts(std::vector<std::string> texts) : texts_(std::move(texts)) {}

std::string StopTexts::push(std::string_view piece) {
  if (stopped_) return {};
  held_ += piece;
  // The text that is whole first ends the stream, however it is cut into pieces.
  size_t begin = held_.size(), end = held_.size() + 1;
  for (const std::string& stop : texts_) {
    const size_t at = held_.find(stop);
    if (at == std::string::npos || at + stop.size() > end) continue;
    begin = at + stop.size() < end ? at : std::min(begin, at);
    end = at + stop.size();
  }
  stopped_ = end <= held_.size();
  const size_t shown = stopped_ ? begin : held_.size() - begun(held_, texts_);
  std::string text = held_.substr(0, shown);
  held_.erase(0, stopped_ ? held_.size() : shown);
  return text;
}

std::string StopTexts::finish() { return std::exchange(held_, {}); }

}  // namespace st

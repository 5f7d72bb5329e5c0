#include "cli/terminal/pasted_texts.h"

#include <fmt/format.h>

#include <algorithm>

namespace st {
namespace {

constexpr int64_t kManyLines = 10;
constexpr size_t kManyBytes = 2000;

int64_t lines(std::string_view text) {
  return std::ranges::count(text, '\n') + (text.ends_with('\n') ? 0 : 1);
}

}  // namespace

bool PastedTexts::is_long(std::string_view text) {
  return text.size() > kManyBytes || lines(text) > kManyLines;
}

std::string PastedTexts::mark(std::string_view text) {
  const auto known = std::ranges::find(texts_, text, &Pasted::text);
  if (known != texts_.end()) return known->mark;
  const int64_t n = lines(text);
  const std::string size =
      n > 1 ? fmt::format("{} lines", n) : fmt::format("{} bytes", text.size());
  texts_.push_back(
      {fmt::format("[pasted text {}: {}]", texts_.size() + 1, size), std::string(text)});
  return texts_.back().mark;
}

std::string PastedTexts::shown(std::string_view text) {
  if (!is_long(text)) return std::string(text);
  std::string line(text);
  for (const Pasted& pasted : texts_) {
    const size_t at = line.find(pasted.text);
    if (at != line.npos) line.replace(at, pasted.text.size(), pasted.mark);
  }
  return is_long(line) ? mark(text) : line;
}

std::string PastedTexts::expanded(std::string_view line) const {
  std::string out;
  while (!line.empty()) {
    const auto here = std::ranges::find_if(
        texts_, [&](const Pasted& pasted) { return line.starts_with(pasted.mark); });
    const bool is_mark = here != texts_.end();
    out += is_mark ? here->text : std::string(line.substr(0, 1));
    line.remove_prefix(is_mark ? here->mark.size() : 1);
  }
  return out;
}

}  // namespace st

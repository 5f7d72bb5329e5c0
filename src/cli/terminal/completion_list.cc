#include "cli/terminal/completion_list.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "cli/terminal/wide_text.h"

namespace st {
namespace {

constexpr int kGap = 2;
constexpr size_t kMost = 200;  // words

bool is_middle(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

}  // namespace

int columns_of_text(std::string_view text) {
  int columns = 0;
  while (!text.empty()) {
    const auto [character, bytes] = first_character(text);
    columns += columns_of(character);
    text.remove_prefix(bytes);
  }
  return columns;
}

std::string common_beginning(std::span<const std::string> words) {
  if (words.empty()) return {};
  std::string_view common = words.front();
  for (const std::string& word : words) {
    const auto [end, other] = std::ranges::mismatch(common, word);
    auto same = static_cast<size_t>(end - common.begin());
    while (same > 0 && same < common.size() && is_middle(common[same])) --same;
    common = common.substr(0, same);
  }
  return std::string(common);
}

std::string in_columns(std::span<const std::string> words, int width) {
  const size_t left_out = words.size() - std::min(words.size(), kMost);
  words = words.first(words.size() - left_out);
  std::vector<std::string> shown;
  int widest = 1;
  for (const std::string& word : words) {
    shown.push_back(printable_path(word));
    widest = std::max(widest, columns_of_text(shown.back()));
  }
  const auto columns = static_cast<size_t>(std::max(1, width / (widest + kGap)));
  const size_t rows = (shown.size() + columns - 1) / columns;
  std::string out;
  for (size_t row = 0; row < rows; ++row) {
    for (size_t at = row; at < shown.size(); at += rows) {
      out += shown[at];
      const int gap = widest + kGap - columns_of_text(shown[at]);
      if (at + rows < shown.size()) out.append(static_cast<size_t>(gap), ' ');
    }
    out += '\n';
  }
  if (left_out > 0) out += "and " + std::to_string(left_out) + " more\n";
  return out;
}

}  // namespace st

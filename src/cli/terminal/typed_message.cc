#include "cli/terminal/typed_message.h"

namespace st {
namespace {

constexpr std::string_view kQuotes = "\"\"\"";
constexpr std::string_view kSpace = " \t\n";

std::string_view trimmed(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(kSpace), text.size());
  const size_t end = text.find_last_not_of(kSpace);
  return end == text.npos ? std::string_view() : text.substr(begin, end + 1 - begin);
}

bool is_closed(std::string_view block) {
  return block.size() >= 2 * kQuotes.size() && block.ends_with(kQuotes);
}

}  // namespace

Continues continues(std::string_view typed) {
  const std::string_view text = trimmed(typed);
  if (text.starts_with(kQuotes)) return is_closed(text) ? Continues::kNo : Continues::kInBlock;
  return typed.ends_with('\\') ? Continues::kAfterBackslash : Continues::kNo;
}

std::string typed_message(std::string_view typed) {
  std::string_view text = trimmed(typed);
  if (!text.starts_with(kQuotes) || !is_closed(text)) return std::string(typed);
  text.remove_prefix(kQuotes.size());
  text.remove_suffix(kQuotes.size());
  if (text.starts_with('\n')) text.remove_prefix(1);
  if (text.ends_with('\n')) text.remove_suffix(1);
  return std::string(text);
}

}  // namespace st

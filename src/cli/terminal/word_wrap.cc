#include "cli/terminal/word_wrap.h"

#include <utility>

#include "cli/terminal/wide_text.h"

namespace st {
namespace {

constexpr std::string_view kFence = "```";
constexpr int kTab = 8;
// Not less, however narrow the terminal.
constexpr int kNarrowest = 8;

}  // namespace

std::string WordWrap::add(std::string_view text, int columns) {
  columns_ = std::max(columns, kNarrowest);
  std::string out;
  while (!text.empty()) {
    const auto [character, bytes] = first_character(text);
    const std::string_view one = text.substr(0, bytes);
    text.remove_prefix(bytes);
    if (character == '\n') {
      end_line(out);
      continue;
    }
    if (line_begins_.size() < kFence.size()) line_begins_ += one;
    if (character == '\t') {
      take(one, kTab - (column_ + word_columns_) % kTab, out);
    } else {
      take(one, columns_of(character), out);
    }
  }
  return out;
}

std::string WordWrap::finish() {
  std::string out;
  end_word(out);
  out += std::exchange(spaces_, {});
  return out;
}

void WordWrap::take(std::string_view character, int wide, std::string& out) {
  const bool space = character == " " || character == "\t";
  if (space) {
    end_word(out);
    long_word_ = false;
    spaces_ += character;
    column_ += wide;
    return;
  }
  // Between wide characters a line may end anywhere.
  if (wide > 1) end_word(out);
  word_ += character;
  word_columns_ += wide;
  const bool too_long = word_columns_ >= columns_;
  if (wide > 1 || too_long) end_word(out);
  long_word_ = wide <= 1 && (long_word_ || too_long);
}

void WordWrap::end_word(std::string& out) {
  if (word_.empty()) return;
  const bool fits = column_ + word_columns_ <= columns_;
  if (!fits && !in_fence_ && !long_word_ && column_ > 0) {
    spaces_.clear();  // a line begins with a word
    out += '\n';
    column_ = 0;
  }
  out += std::exchange(spaces_, {});
  out += std::exchange(word_, {});
  column_ += std::exchange(word_columns_, 0);
  if (column_ > columns_) column_ = (column_ - 1) % columns_ + 1;  // the terminal has ended lines
}

void WordWrap::end_line(std::string& out) {
  end_word(out);
  if (line_begins_ == kFence) in_fence_ = !in_fence_;
  line_begins_.clear();
  long_word_ = false;
  spaces_.clear();  // that nobody sees
  out += '\n';
  column_ = 0;
}

}  // namespace st

// What Tab shows of several words that a beginning could become.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace st {

// What all of them begin with, in whole characters.
std::string common_beginning(std::span<const std::string> words);

// In columns, read downwards; each line ends with a line feed.
std::string in_columns(std::span<const std::string> words, int width);

// Columns of a text on a terminal.
int columns_of_text(std::string_view text);

}  // namespace st

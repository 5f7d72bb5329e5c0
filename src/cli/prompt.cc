#include "cli/prompt.h"

#include <unistd.h>

#include <charconv>
#include <cstdio>

#include "base/error.h"
#include "base/file.h"
#include "cli/escapes.h"

namespace st {

std::string read_text(const TextArgs& args) {
  if (args.prompt) return args.escape ? process_escapes(*args.prompt) : *args.prompt;
  if (!args.file.empty() && args.file != "-") return read_text_file(args.file);
  if (args.file.empty() && ::isatty(STDIN_FILENO)) return {};
  return read_stdin();
}

std::string read_stdin() {
  std::string text;
  char buffer[1 << 16];
  while (const size_t n = std::fread(buffer, 1, sizeof(buffer), stdin)) text.append(buffer, n);
  if (std::ferror(stdin)) fail(ErrorCode::kIo, "cannot read standard input");
  return text;
}

std::vector<Token> parse_ids(std::string_view text, int64_t limit) {
  constexpr std::string_view kSeparators = ", \t\r\n[]";
  std::vector<Token> ids;
  for (size_t i = 0; (i = text.find_first_not_of(kSeparators, i)) != std::string_view::npos;) {
    const size_t end = std::min(text.find_first_of(kSeparators, i), text.size());
    int64_t id = 0;
    const auto [stop, wrong] = std::from_chars(text.data() + i, text.data() + end, id);
    if (wrong != std::errc() || stop != text.data() + end || id < 0 || id >= limit) {
      fail(ErrorCode::kInvalidUsage, "token '{}': want an id in 0..{}",
           printable(text.substr(i, end - i), 40), limit - 1);
    }
    ids.push_back(static_cast<Token>(id));
    i = end;
  }
  return ids;
}

}  // namespace st

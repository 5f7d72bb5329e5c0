#include "cli/prompt.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <span>

#include "base/error.h"
#include "base/file.h"
#include "cli/escapes.h"

namespace st {
namespace {

constexpr size_t kPart = size_t{1} << 16;

void read_file_parts(const std::string& path, const std::function<bool(std::string_view)>& part) {
  std::optional<File> file;
  with_context(printable(path), [&] { file.emplace(path); });
  std::string text;
  for (uint64_t at = 0; at < file->size(); at += text.size()) {
    text.resize(std::min<uint64_t>(kPart, file->size() - at));
    with_context(printable(path),
                 [&] { file->read_at(at, std::as_writable_bytes(std::span(text))); });
    if (!part(text)) return;
  }
  file->check_unchanged();
}

void read_stdin_parts(const std::function<bool(std::string_view)>& part) {
  char buffer[kPart];
  while (const size_t n = std::fread(buffer, 1, sizeof(buffer), stdin)) {
    if (!part({buffer, n})) return;
  }
  if (std::ferror(stdin)) fail(ErrorCode::kIo, "cannot read standard input");
}

}  // namespace

void read_parts(const TextArgs& args, const std::function<bool(std::string_view)>& part) {
  if (args.prompt) {
    part(args.escape ? process_escapes(*args.prompt) : *args.prompt);
  } else if (!args.file.empty() && args.file != "-") {
    read_file_parts(args.file, part);
  } else if (!args.file.empty() || !::isatty(STDIN_FILENO)) {
    read_stdin_parts(part);
  }
}

std::optional<uint64_t> text_size(const TextArgs& args) {
  if (args.prompt) return args.prompt->size();
  if (args.file.empty() || args.file == "-") return std::nullopt;
  return with_context(printable(args.file), [&] { return File(args.file).size(); });
}

std::string read_stdin() {
  std::string text;
  read_stdin_parts([&](std::string_view part) { return text.append(part), true; });
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

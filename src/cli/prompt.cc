#include "cli/prompt.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <span>

#include "base/error.h"
#include "base/file.h"
#include "base/path.h"
#include "cli/escapes.h"
#include "cli/streams.h"

namespace st {
namespace {

using Receive = std::function<bool(std::string_view)>;

constexpr size_t kPart = size_t{1} << 16;

bool is_stdin(const TextArgs& args) { return args.file.empty() || args.file == "-"; }

std::optional<uint64_t> size_of_regular(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  return static_cast<uint64_t>(info.st_size);
}

void read_file_parts(const std::string& path, const Receive& part) {
  std::optional<File> file;
  with_context(printable_path(path), [&] { file.emplace(path); });
  std::string text;
  for (uint64_t at = 0; at < file->size(); at += text.size()) {
    text.resize(std::min<uint64_t>(kPart, file->size() - at));
    with_context(printable_path(path),
                 [&] { file->read_at(at, std::as_writable_bytes(std::span(text))); });
    if (!part(text)) return;
  }
  file->check_unchanged();
}

// What may never end.
void read_stream_parts(int fd, const std::string& name, const Receive& part) {
  constexpr uint64_t kLimit = uint64_t{1} << 30;
  uint64_t bytes = 0;
  char buffer[kPart];
  while (const ssize_t n = ::read(fd, buffer, sizeof(buffer))) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(ErrorCode::kIo, "{}: cannot read: {}", name, std::strerror(errno));
    if (bytes += static_cast<uint64_t>(n); bytes > kLimit) {
      fail(ErrorCode::kInvalidData, "{}: more than {} bytes, the limit for a text", name, kLimit);
    }
    if (!part({buffer, static_cast<size_t>(n)})) return;
  }
}

void read_stdin_parts(const Receive& part) {
  if (::isatty(STDIN_FILENO) != 0) {
    print_err(
        "note: reading the text from the terminal, Ctrl-D on a line of its own ends it; -p TEXT or "
        "-f FILE gives it at once\n");
  }
  read_stream_parts(STDIN_FILENO, "standard input", part);
}

void read_pipe_parts(const std::string& path, const Receive& part) {
  const std::string name = printable_path(path);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(ErrorCode::kNotFound, "{}: cannot open: {}", name, std::strerror(errno));
  const std::shared_ptr<const void> closed(nullptr, [fd](const void*) { ::close(fd); });
  read_stream_parts(fd, name, part);
}

void read_all_parts(const TextArgs& args, const Receive& part) {
  if (is_stdin(args)) {
    read_stdin_parts(part);
  } else if (size_of_regular(args.file)) {
    read_file_parts(args.file, part);
  } else {
    read_pipe_parts(args.file, part);
  }
}

}  // namespace

void read_parts(const TextArgs& args, const Receive& part) {
  if (args.prompt) {
    part(args.escape ? process_escapes(*args.prompt) : *args.prompt);
    return;
  }
  bool held = false;  // a line feed that more text has to follow
  read_all_parts(args, [&](std::string_view text) {
    if (held && !part("\n")) return false;
    held = !args.whole && text.ends_with('\n');
    return part(text.substr(0, text.size() - (held ? 1 : 0)));
  });
}

std::string text_source(const TextArgs& args) {
  return is_stdin(args) ? "standard input" : args.file;
}

std::optional<uint64_t> text_size(const TextArgs& args) {
  if (args.prompt) return args.prompt->size();
  return is_stdin(args) ? std::nullopt : size_of_regular(args.file);
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

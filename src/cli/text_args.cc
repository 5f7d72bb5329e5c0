#include "cli/text_args.h"

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
#include "cli/streams.h"
#include "engine/generate.h"

namespace st {

std::string process_escapes(std::string_view text) {
  constexpr std::string_view kLetters = "nrt'\"\\";
  constexpr std::string_view kMeanings = "\n\r\t'\"\\";
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const char next = text[i + 1];
    if (const size_t known = kLetters.find(next); known != std::string_view::npos) {
      out += kMeanings[known];
      ++i;
      continue;
    }
    unsigned value = 0;
    const char* digits = text.data() + i + 2;
    if (next == 'x' && i + 3 < text.size() &&
        std::from_chars(digits, digits + 2, value, 16).ptr == digits + 2) {
      out += static_cast<char>(value);
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

namespace {

using Receive = std::function<bool(std::string_view)>;

constexpr size_t kPiece = size_t{1} << 16;

bool is_stdin(const TextArgs& args) { return args.file.empty() || args.file == "-"; }

std::optional<uint64_t> size_of_regular(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  return static_cast<uint64_t>(info.st_size);
}

void read_whole_file(const std::string& path, const Receive& take) {
  std::optional<File> file;
  with_context(printable_path(path), [&] { file.emplace(path); });
  std::string text;
  for (uint64_t at = 0; at < file->size(); at += text.size()) {
    text.resize(std::min<uint64_t>(kPiece, file->size() - at));
    with_context(printable_path(path),
                 [&] { file->read_at(at, std::as_writable_bytes(std::span(text))); });
    if (!take(text)) return;
  }
  file->check_unchanged();
}

// What may never end.
void read_stream(int fd, const std::string& name, const Receive& take) {
  constexpr uint64_t kLimit = uint64_t{1} << 30;
  uint64_t bytes = 0;
  char buffer[kPiece];
  while (const ssize_t n = ::read(fd, buffer, sizeof(buffer))) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(ErrorCode::kIo, "{}: cannot read: {}", name, std::strerror(errno));
    if (bytes += static_cast<uint64_t>(n); bytes > kLimit) {
      fail(ErrorCode::kInvalidData, "{}: more than {} bytes, the limit for a text", name, kLimit);
    }
    if (!take({buffer, static_cast<size_t>(n)})) return;
  }
}

void read_stdin_text(const Receive& take) {
  if (::isatty(STDIN_FILENO) != 0) {
    print_err(
        "note: reading the text from the terminal, Ctrl-D on a line of its own ends it; -p TEXT or "
        "-f FILE gives it at once\n");
  }
  read_stream(STDIN_FILENO, "standard input", take);
}

void read_pipe(const std::string& path, const Receive& take) {
  const std::string name = printable_path(path);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(ErrorCode::kNotFound, "{}: cannot open: {}", name, std::strerror(errno));
  const std::shared_ptr<const void> closed(nullptr, [fd](const void*) { ::close(fd); });
  read_stream(fd, name, take);
}

void read_source(const TextArgs& args, const Receive& take) {
  if (is_stdin(args)) {
    read_stdin_text(take);
  } else if (size_of_regular(args.file)) {
    read_whole_file(args.file, take);
  } else {
    read_pipe(args.file, take);
  }
}

}  // namespace

void read_text(const TextArgs& args, const Receive& take) {
  if (args.prompt) {
    take(args.escape ? process_escapes(*args.prompt) : *args.prompt);
    return;
  }
  bool held = false;  // a line feed that more text has to follow
  read_source(args, [&](std::string_view text) {
    if (held && !take("\n")) return false;
    held = !args.whole && text.ends_with('\n');
    return take(text.substr(0, text.size() - (held ? 1 : 0)));
  });
}

std::string text_source(const TextArgs& args) {
  return is_stdin(args) ? "standard input" : args.file;
}

std::string text_file(const TextArgs& args) {
  if (args.prompt) return {};
  return is_stdin(args) ? "/dev/stdin" : args.file;
}

std::optional<uint64_t> text_size(const TextArgs& args) {
  if (args.prompt) return args.prompt->size();
  return is_stdin(args) ? std::nullopt : size_of_regular(args.file);
}

std::string read_stdin() {
  std::string text;
  read_stdin_text([&](std::string_view piece) { return text.append(piece), true; });
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

namespace {

// Of a prompt that is too long anyway so much more is read to say how long it is.
constexpr uint64_t kReadOn = uint64_t{64} << 20;

// Encoding takes so much at most when words have a usual length.
constexpr uint64_t kUsual = uint64_t{8} << 20;

// Addresses for tokens of a text that does not say how long it is.
constexpr uint64_t kUnknown = uint64_t{1} << 26;

}  // namespace

uint64_t TextTokens::encode(const TextRoom& room) {
  const bool all = windows_ == 0 || windows_ > INT64_MAX / room.context;
  const int64_t most = all ? INT64_MAX : windows_ * room.context;
  const uint64_t size = text_size(text_).value_or(kUnknown);
  tokens_.reserve(std::min(size, static_cast<uint64_t>(most)));
  const auto most_here = static_cast<int64_t>(room.bytes / sizeof(Token));

  TextEncoder encoder(room.tokenizer, parse_special_);
  std::vector<Token> some;
  bool too_long_a_word = false;
  uint64_t too_much = 0;  // bytes of a prompt beyond the context
  const auto take = [&] {
    const int64_t wanted = std::min(most - std::ssize(tokens_), std::ssize(some));
    count_ += std::ssize(some);
    if (std::min(count_, most) <= most_here) {
      tokens_.insert(tokens_.end(), some.begin(), some.begin() + std::max<int64_t>(0, wanted));
    } else {
      tokens_ = {};  // there is no room for them: only how many they are is of interest
    }
    some.clear();
  };
  read_text(text_, [&](std::string_view text) {
    encoder.add(text, some);
    take();
    too_long_a_word = encoder.bytes() > std::max(room.bytes, kUsual);
    if (is_prompt_ && count_ > most) too_much += text.size();
    return !too_long_a_word && too_much <= kReadOn;
  });
  if (too_long_a_word) {
    tokens_ = {};
    return TextEncoder::kBytesPerByte * size;
  }
  encoder.finish(some);
  take();
  if (is_prompt_) check_prompt_fits(room.context, count_);
  return static_cast<uint64_t>(std::min(count_, most)) * sizeof(Token);
}

}  // namespace st

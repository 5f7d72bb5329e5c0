#include "base/system_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace st {

std::string read_system_file(const std::string& path) {
  constexpr size_t kAtMost = size_t{1} << 20;
  std::string text;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return text;
  char piece[4096];
  while (text.size() < kAtMost) {
    const ssize_t n = ::read(fd, piece, sizeof(piece));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text.append(piece, static_cast<size_t>(n));
  }
  ::close(fd);
  constexpr std::string_view kBlank(" \t\r\n\0", 5);  // texts of the device tree end in a zero
  text.erase(text.find_last_not_of(kBlank) + 1);
  return text;
}

std::optional<uint64_t> parse_unsigned(std::string_view text) {
  const bool hexadecimal = text.starts_with("0x");
  if (hexadecimal) text.remove_prefix(2);
  uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, hexadecimal ? 16 : 10);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<int> parse_cpu_list(std::string_view text) {
  constexpr uint64_t kMost = 1 << 16;
  std::vector<int> cpus;
  while (!text.empty()) {
    const std::string_view range = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), range.size() + 1));
    const size_t dash = range.find('-');
    const auto first = parse_unsigned(range.substr(0, dash));
    const auto last = dash == range.npos ? first : parse_unsigned(range.substr(dash + 1));
    if (!first || !last || *first > *last || *last >= kMost) return {};
    for (uint64_t cpu = *first; cpu <= *last; ++cpu) cpus.push_back(static_cast<int>(cpu));
    if (cpus.size() > kMost) return {};
  }
  std::ranges::sort(cpus);
  cpus.erase(std::unique(cpus.begin(), cpus.end()), cpus.end());
  return cpus;
}

std::string format_cpu_list(std::span<const int> cpus) {
  std::string text;
  for (size_t i = 0; i < cpus.size();) {
    size_t end = i + 1;
    while (end < cpus.size() && cpus[end] == cpus[end - 1] + 1) ++end;
    if (!text.empty()) text += ',';
    text += std::to_string(cpus[i]);
    if (end - i > 1) text += "-" + std::to_string(cpus[end - 1]);
    i = end;
  }
  return text;
}

MachineMemory read_machine_memory(const std::string& root) {
  const std::string text = read_system_file(root + "/proc/meminfo");
  const auto bytes = [&](std::string_view key) -> uint64_t {
    const size_t at = text.find(key);
    if (at == text.npos) return 0;
    const size_t begin = text.find_first_not_of(' ', at + key.size());
    const size_t end = text.find(' ', begin);
    if (begin == text.npos || end == text.npos) return 0;
    return parse_unsigned(std::string_view(text).substr(begin, end - begin)).value_or(0) * 1024;
  };
  return {.total = bytes("MemTotal:"),
          .available = bytes("MemAvailable:"),
          .swap = bytes("SwapTotal:")};
}

}  // namespace st

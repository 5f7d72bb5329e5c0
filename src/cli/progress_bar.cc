#include "cli/progress_bar.h"

#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>

#include "cli/report.h"
#include "cli/streams.h"

namespace st {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kQuiet = std::chrono::milliseconds(500);  // shorter work is not worth a bar
constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr int kWidth = 30;

class Bar {
 public:
  void update(std::string_view stage, uint64_t done, uint64_t total) {
    const auto now = Clock::now();
    if (total == 0 || now - start_ < kQuiet) return;
    const bool finished = done >= total;
    if (terminal_ ? (!finished && now - drawn_ < kRedraw) : done * 10 / total <= tenth_) return;
    drawn_ = now;
    tenth_ = done * 10 / total;
    const double seconds = std::chrono::duration<double>(now - start_).count();
    const double rate = static_cast<double>(done) / seconds;
    const auto left = static_cast<int>(rate > 0 ? static_cast<double>(total - done) / rate : 0);
    const std::string numbers =
        fmt::format("{:3}% {}/{} {}/s {}s", done * 100 / total, format_bytes(done),
                    format_bytes(total), format_bytes(static_cast<uint64_t>(rate)), left);
    if (terminal_) {
      const auto filled = static_cast<size_t>(done * kWidth / total);
      print_err("\r\x1b[K{} [{}{}] {}{}", stage, std::string(filled, '#'),
                std::string(kWidth - filled, ' '), numbers, finished ? "\n" : "");
    } else {
      print_err("{} {}\n", stage, numbers);
    }
  }

 private:
  const bool terminal_ = ::isatty(STDERR_FILENO) != 0;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point drawn_ = start_;
  uint64_t tenth_ = 0;
};

}  // namespace

Progress make_progress_bar(bool show) {
  return
      [bar = std::make_shared<Bar>(), show](std::string_view stage, uint64_t done, uint64_t total) {
        if (show) bar->update(stage, done, total);
      };
}

}  // namespace st

#include "cli/report.h"

#include <fmt/core.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "base/cgroup.h"
#include "base/clock.h"
#include "cli/streams.h"

namespace st {

std::string format_bytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string format_budget(uint64_t bytes) {
  return bytes == kNoBudget ? "no limit" : format_bytes(bytes);
}

std::string counted(uint64_t n, std::string_view thing) {
  return fmt::format("{} {}{}", n, thing, n == 1 ? "" : "s");
}

std::string describe_weights(const WeightStore& store) {
  const uint64_t stay = store.streamed_bytes();
  const std::string read = format_bytes(store.bytes() - stay) + " of weights";
  return stay == 0 ? read : fmt::format("{}, {} stay in the file", read, format_bytes(stay));
}

uint64_t peak_memory_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    uint64_t kib = 0;
    if (word == "VmHWM:" && status >> kib) return kib * 1024;
  }
  struct rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

bool reset_peak_memory() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  return file.good();
}

namespace {

// Exact to less than a per cent, which GiB with one digit would not be.
std::string mib(uint64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

}  // namespace

std::string receipt(const MemoryReport& report, int64_t tokens, double seconds) {
  const CachedExpertsStats& seen = report.experts;
  const auto share = [](double part, double all) { return all > 0 ? 100 * part / all : 0.0; };
  const auto per_token = seen.bytes_read / static_cast<uint64_t>(std::max<int64_t>(tokens, 1));
  std::string group;
  if (const auto limits = read_cgroup_memory(); limits.limit && limits.peak) {
    group = fmt::format(", {} in its control group", mib(*limits.peak));
  }
  return fmt::format(
      "memory      {:>10}  budget; peak {}{}\n"
      "{:<11} {:>8.1f} %  found in memory (room for {} of {}), {:.1f} % foreseen, "
      "{} read per token, {:.0f} % of the time waiting\n",
      format_budget(report.plan.budget), mib(peak_memory_bytes()), group, report.plan.units,
      share(static_cast<double>(seen.found), static_cast<double>(seen.asked)), report.slots,
      report.plan.experts,
      share(static_cast<double>(seen.foreseen), static_cast<double>(seen.asked)),
      format_bytes(per_token), share(seen.stall_seconds, seconds));
}

void print_receipt(const MemoryReport& report, int64_t tokens, double seconds) {
  write_err(receipt(report, tokens, seconds));
}

std::string describe_drafts(const DraftCount& drafts) {
  if (drafts.drafted == 0) return {};
  return fmt::format(", spec {} of {} drafts", drafts.chosen, drafts.drafted);
}

void print_progress(const PerplexityResult& result, int64_t windows) {
  print_err("[{}/{}] {:.4f}{}", result.windows, windows, result.perplexity(),
            result.windows % 8 == 0 || result.windows == windows ? "\n" : "  ");
}

namespace {

constexpr auto kQuiet = std::chrono::milliseconds(500);  // shorter work is not worth a bar
constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr auto kStalled = std::chrono::seconds(3);  // without anything done
constexpr int kWidth = 30;

class Bar {
 public:
  void update(std::string_view stage, uint64_t done, uint64_t total) {
    const auto now = Clock::now();
    if (!first_) first_ = done;  // an earlier run's work, which was not done in this time
    if (done != done_) {
      done_ = done;
      moved_ = now;
      told_ = false;
    }
    if (total == 0 || now - start_ < kQuiet) return;
    const bool finished = done >= total;
    const bool stalled = !finished && now - moved_ >= kStalled;
    const bool news = done * 10 / total > tenth_ || (stalled && !told_);
    if (terminal_ ? (!finished && now - drawn_ < kRedraw) : !news) return;
    drawn_ = now;
    tenth_ = done * 10 / total;
    told_ = stalled;
    const std::string numbers =
        fmt::format("{:3}% {}/{} {}", done * 100 / total, format_bytes(done), format_bytes(total),
                    stalled ? fmt::format("stalled, nothing for {:.0f} s", seconds_since(moved_))
                            : pace(done, total));
    if (terminal_) {
      const auto filled = static_cast<size_t>(done * kWidth / total);
      print_err("\r\x1b[K{} [{}{}] {}{}", stage, std::string(filled, '#'),
                std::string(kWidth - filled, ' '), numbers, finished ? "\n" : "");
    } else {
      print_err("{} {}\n", stage, numbers);
    }
  }

 private:
  // "1.0 MiB/s 12s": how fast, and how long it still takes.
  std::string pace(uint64_t done, uint64_t total) const {
    const double fresh = static_cast<double>(done - std::min(*first_, done));
    const double rate = fresh / seconds_since(start_);
    if (rate == 0) return "waiting";
    return fmt::format("{}/s {:.0f}s", format_bytes(static_cast<uint64_t>(rate)),
                       static_cast<double>(total - done) / rate);
  }

  const bool terminal_ = ::isatty(STDERR_FILENO) != 0;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point drawn_ = start_;
  Clock::time_point moved_ = start_;  // when more was done than before, and how much that was
  uint64_t done_ = 0;
  bool told_ = false;  // that it stalls
  std::optional<uint64_t> first_;
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

#include "cli/receipt.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/cgroup.h"
#include "cli/report.h"
#include "cli/streams.h"

namespace st {
namespace {

// Exact to less than a per cent, which GiB with one digit would not be.
std::string mib(uint64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

}  // namespace

void print_receipt(const MemoryReport& report, int64_t tokens, double seconds) {
  const CachedExpertsStats& seen = report.experts;
  const auto share = [](double part, double all) { return all > 0 ? 100 * part / all : 0.0; };
  const auto per_token = seen.bytes_read / static_cast<uint64_t>(std::max<int64_t>(tokens, 1));
  std::string group;
  if (const auto limits = read_cgroup_memory(); limits.limit && limits.peak) {
    group = fmt::format(", {} in its control group", mib(*limits.peak));
  }
  print_err("memory      {:>10}  budget; peak {}{}\n", format_bytes(report.plan.budget),
            mib(peak_memory_bytes()), group);
  print_err(
      "experts     {:>8.1f} %  found in memory (room for {} of {}), {:.1f} % foreseen, "
      "{} read per token, {:.0f} % of the time waiting\n",
      share(static_cast<double>(seen.found), static_cast<double>(seen.asked)), report.slots,
      report.plan.experts,
      share(static_cast<double>(seen.foreseen), static_cast<double>(seen.asked)),
      format_bytes(per_token), share(seen.stall_seconds, seconds));
}

}  // namespace st

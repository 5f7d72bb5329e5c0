#include "cli/receipt.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "base/cgroup.h"
#include "cli/report.h"

namespace st {

void print_receipt(const MemoryReport& report, int64_t tokens, double seconds) {
  const CachedExpertsStats& seen = report.experts;
  const auto share = [](double part, double all) { return all > 0 ? 100 * part / all : 0.0; };
  const auto per_token = seen.bytes_read / static_cast<uint64_t>(std::max<int64_t>(tokens, 1));
  std::string group;
  if (const auto limits = read_cgroup_memory(); limits.limit && limits.peak) {
    group = fmt::format(", {} in its control group", format_bytes(*limits.peak));
  }
  fmt::print(stderr, "memory      {:>10}  budget; peak {}{}\n", format_bytes(report.plan.budget),
             format_bytes(peak_memory_bytes()), group);
  fmt::print(stderr,
             "experts     {:>8.1f} %  found in memory (room for {} of {}), {} read per token, "
             "{:.0f} % of the time waiting\n",
             share(static_cast<double>(seen.found), static_cast<double>(seen.asked)), report.room,
             report.plan.experts, format_bytes(per_token), share(seen.stall_seconds, seconds));
}

}  // namespace st

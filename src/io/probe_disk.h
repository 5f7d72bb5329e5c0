// How fast this disk gives random pieces of a file: the figure a plan for little memory rests on.
#pragma once

#include <cstdint>
#include <string>

#include "io/async_reader.h"

namespace st {

struct DiskProbe {
  uint64_t piece_bytes = 1 << 20;
  int depth = 8;                         // requests in flight
  uint64_t total_bytes = 256 << 20;      // read at most this much ...
  std::chrono::milliseconds most{1000};  // ... and for about this long
  AsyncReader::Backend backend = AsyncReader::Backend::kAuto;
  bool direct = true;
};

struct DiskSpeed {
  uint64_t bytes = 0;
  double seconds = 0;
  double cpu_seconds = 0;  // of this process, for reading them
  bool direct = false;     // else the page cache may have helped
  std::string_view backend;

  double bytes_per_second() const { return seconds > 0 ? static_cast<double>(bytes) / seconds : 0; }
};

// Reads pieces at random aligned places. Throws Error if the file cannot be opened or read.
DiskSpeed probe_disk(const std::string& path, const DiskProbe& probe);

}  // namespace st

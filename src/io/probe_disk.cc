#include "io/probe_disk.h"

#include <algorithm>
#include <ctime>
#include <random>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"

namespace st {

DiskSpeed probe_disk(const std::string& path, const DiskProbe& probe) {
  AsyncReader reader({.backend = probe.backend,
                      .direct = probe.direct,
                      .depth = probe.depth,
                      .piece_bytes = static_cast<uint32_t>(probe.piece_bytes)});
  const FileId file = reader.open(path);
  if (reader.size(file) < probe.piece_bytes) {
    fail(ErrorCode::kInvalidUsage, "{}: smaller than the {} bytes to read at a time",
         printable_path(path), probe.piece_bytes);
  }
  const uint64_t room = reader.room(file, probe.piece_bytes);
  const auto slots = static_cast<size_t>(probe.depth);
  MemoryRegion memory(room * slots);
  memory.prefer_huge_pages();
  std::fill_n(memory.data(), memory.size(), std::byte{0});  // its pages exist from here on

  std::mt19937_64 random(1);
  const uint64_t unit = std::max<uint64_t>(4096, reader.alignment(file));
  std::uniform_int_distribution<uint64_t> place(0, (reader.size(file) - probe.piece_bytes) / unit);
  const auto submit = [&](size_t slot) {
    return reader.submit(
        {file, place(random) * unit, probe.piece_bytes, memory.data() + slot * room});
  };
  DiskSpeed speed{.direct = reader.direct(file), .backend = reader.backend()};
  const auto start = Clock::now();
  const std::clock_t cpu = std::clock();
  std::vector<Ticket> tickets;
  for (size_t slot = 0; slot < slots; ++slot) tickets.push_back(submit(slot));
  uint64_t submitted = slots * probe.piece_bytes;
  for (size_t slot = 0; speed.bytes < submitted; slot = (slot + 1) % slots) {
    reader.await(tickets[slot]).get();
    speed.bytes += probe.piece_bytes;
    if (submitted < probe.total_bytes && Clock::now() - start < probe.most) {
      tickets[slot] = submit(slot);
      submitted += probe.piece_bytes;
    }
  }
  speed.seconds = seconds_since(start);
  speed.cpu_seconds = static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC;
  return speed;
}

}  // namespace st

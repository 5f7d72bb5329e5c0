// One 64-bit checksum for everything we store: XXH3 (libxxhash), which runs at the speed of memory.
// It finds broken bytes, not forged ones. The value is part of our file formats: never change it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace st {

uint64_t checksum(std::span<const std::byte> bytes);

// The same of bytes that come piece by piece.
class Checksum {
 public:
  Checksum();
  ~Checksum();
  Checksum(const Checksum&) = delete;
  Checksum& operator=(const Checksum&) = delete;

  void add(std::span<const std::byte> bytes);
  uint64_t value() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace st

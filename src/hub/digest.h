// Which bytes a file has, as the hub says it: SHA-256 of large files, git's name of the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace st {

class Digest {
 public:
  // Of a file of `size` bytes. `wanted` is what it is compared with: 64 hexadecimal digits ask for
  // SHA-256, 40 for SHA-1 over "blob SIZE", a zero and the bytes. Throws Error(kUnsupported) if
  // this program was built without libnettle.
  Digest(std::string wanted, uint64_t size);
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void add(std::span<const std::byte> bytes);
  void restart();
  // Whether all bytes so far are the wanted ones. After that there is only restart().
  bool matches();

 private:
  struct State;
  const std::string wanted_;
  const uint64_t size_;
  std::unique_ptr<State> state_;
};

}  // namespace st

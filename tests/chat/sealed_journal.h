// Files of conversations with any content, whose checksums are right.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/checksum.h"
#include "support/bytes.h"

namespace st::testkit {

inline uint64_t sum_of(std::string_view bytes) { return checksum(std::as_bytes(std::span(bytes))); }

struct SealedJournal {
  std::string bytes;
  uint64_t chain = 0;

  explicit SealedJournal(std::string_view header, uint32_t version = 1) {
    bytes = cat(std::string("ST-CHAT\0", 8), le(version), le(static_cast<uint32_t>(header.size())),
                std::string(header));
    chain = sum_of(bytes);
    bytes += le(chain);
  }
  void record(uint32_t type, std::string_view payload) {
    const std::string whole =
        cat(le(type), le(uint32_t{0}), le(uint64_t{payload.size()}), std::string(payload));
    seal(whole);
  }
  // `begin`: the place of a tile, whose checksum is added.
  void tile(uint32_t group, int64_t number, int64_t end, std::string_view values) {
    std::string whole = cat(le(uint32_t{3}), le(uint32_t{0}), le(uint64_t{32 + values.size()}),
                            le(group), le(uint32_t{0}), le(number), le(end));
    whole += le(sum_of(whole));
    seal(whole + std::string(values));
  }
  // `first`: of each group.
  void commit(uint64_t turn, int64_t messages, int64_t tokens,
              const std::vector<int64_t>& first = {}) {
    std::string payload = cat(le(turn), le(messages), le(tokens), le(chain));
    for (const int64_t tile : first) payload += le(tile);
    record(7, payload);
  }

 private:
  void seal(const std::string& whole) {
    const uint64_t sum = sum_of(whole);
    bytes += whole + le(sum);
    chain = sum_of(le(chain) + le(sum));
  }
};

}  // namespace st::testkit

// What the fuzz targets share. An st::Error is a good answer to any input; every other exception,
// crash, hang or broken promise is a finding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/error.h"
#include "base/file.h"

namespace st::fuzz {

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// REQUIRES: `bytes` outlive the source.
inline std::shared_ptr<const ByteSource> source_of(std::string_view bytes) {
  return std::make_shared<MemorySource>(std::as_bytes(std::span(bytes)));
}

template <typename Body>
void allow_errors(Body&& body) {
  try {
    body();
  } catch (const Error&) {
  }
}

// What a parser promised about a file that it accepted.
inline void require(bool promise) {
  if (!promise) __builtin_trap();
}
inline void require_range(const ByteSource& source, uint64_t offset, uint64_t bytes) {
  require(offset <= source.size() && bytes <= source.size() - offset);
}

}  // namespace st::fuzz

// What the tests and fuzzers of this folder share: files built from pieces, and the text of errors.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace st::testkit {

// The bytes of a number, little-endian.
template <typename T>
std::string le(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof(T)};
}

template <typename... Parts>
std::string cat(const Parts&... parts) {
  std::string result;
  ((result += parts), ...);
  return result;
}

template <typename T>
void patch(std::string& bytes, size_t offset, T value) {
  bytes.replace(offset, sizeof(T), le(value));
}

inline std::string repeat(std::string_view text, size_t times) {
  std::string result;
  result.reserve(text.size() * times);
  for (size_t i = 0; i < times; ++i) result += text;
  return result;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // and slow
#else
constexpr bool kSanitized = false;
#endif

// CPU seconds that refusing a hostile file may take; checked by a sanitizer, three times as many.
constexpr double kPatience = kSanitized ? 6 : 2;

// CPU seconds that `body` takes: unlike the time on the clock, they do not depend on who else is
// busy.
template <typename Body>
double cpu_seconds(Body&& body) {
  const std::clock_t start = std::clock();
  body();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

// FNV-1a, to compare with figures from elsewhere.
inline uint64_t fnv1a(std::string_view bytes, uint64_t hash = 0xcbf29ce484222325) {
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

inline std::string read_bytes(const ByteSource& source, uint64_t offset, uint64_t count) {
  std::string bytes(count, '\0');
  source.read_at(offset, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

// A file in memory that owns its bytes.
class StringSource final : public ByteSource {
 public:
  explicit StringSource(std::string bytes)
      : bytes_(std::move(bytes)), memory_(std::as_bytes(std::span(bytes_))) {}
  uint64_t size() const override { return bytes_.size(); }
  void read_at(uint64_t offset, std::span<std::byte> out) const override {
    memory_.read_at(offset, out);
  }

 private:
  std::string bytes_;
  MemorySource memory_;
};

inline std::shared_ptr<const ByteSource> source_of(std::string bytes) {
  return std::make_shared<StringSource>(std::move(bytes));
}

// The message of the Error that `body` throws; "no error" if it does not.
template <typename Body>
std::string error_of(Body&& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != text.npos;
}

// One of the two headers of a zip entry.
struct ZipHeader {
  std::string name;
  uint32_t packed_bytes = 0;
  uint32_t bytes = 0;
  uint16_t flags = 0;
  uint16_t method = 0;
  std::string extra;

  std::string encode() const {
    return le<uint16_t>(20) + le(flags) + le(method) + le<uint64_t>(0) + le(packed_bytes) +
           le(bytes) + le(static_cast<uint16_t>(name.size())) +
           le(static_cast<uint16_t>(extra.size()));
  }
};

struct ZipItem {
  ZipItem(const std::string& name, std::string content) : data(std::move(content)) {
    local.name = name;
    local.bytes = local.packed_bytes = static_cast<uint32_t>(data.size());
    central = local;
  }
  ZipHeader local, central;
  std::string data;
  std::optional<uint32_t> offset;  // what the directory says, if not the truth
};

inline std::string zip_of(const std::vector<ZipItem>& items) {
  std::string file, directory;
  for (const ZipItem& item : items) {
    const uint32_t offset = item.offset.value_or(static_cast<uint32_t>(file.size()));
    file += "PK\3\4" + item.local.encode() + item.local.name + item.local.extra + item.data;
    directory += "PK\1\2" + le<uint16_t>(20) + item.central.encode() + le<uint16_t>(0) +
                 le<uint64_t>(0) + le(offset) + item.central.name + item.central.extra;
  }
  const auto count = static_cast<uint16_t>(items.size());
  return file + directory + "PK\5\6" + le<uint32_t>(0) + le(count) + le(count) +
         le(static_cast<uint32_t>(directory.size())) + le(static_cast<uint32_t>(file.size())) +
         le<uint16_t>(0);
}

}  // namespace st::testkit

// GGUF: the container of llama.cpp and ours. Versions 2 and 3, little-endian.
//
// Reading takes hostile files: every count, length, shape and offset is checked against the file
// size and the limits below before anything is allocated.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/file.h"
#include "tensor/dtype.h"

namespace st {

// Value types; the numbers are part of the format.
enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};
std::string_view gguf_type_name(GgufType type);

// An array of one element type: strings, or fixed-size numbers kept packed as in the file.
struct GgufArray {
  GgufType type = GgufType::kU32;
  uint64_t count = 0;
  std::vector<std::byte> packed;     // numbers and bools
  std::vector<std::string> strings;  // type == kString

  // Element i as an integer or a float. REQUIRES: i < count and the type is of that kind.
  int64_t integer(uint64_t i) const;
  double number(uint64_t i) const;
  bool holds_integers() const;  // any integer type, or bool

  static GgufArray of(std::span<const int32_t> values);
  static GgufArray of(std::span<const float> values);
  static GgufArray of(const std::vector<bool>& values);
  static GgufArray of(std::vector<std::string> values);
};

// A scalar keeps its declared type; integers of every width are held as u64 / i64.
struct GgufValue {
  GgufType type = GgufType::kU32;
  std::variant<uint64_t, int64_t, double, bool, std::string, GgufArray> value;

  static GgufValue u32(uint32_t v) { return {GgufType::kU32, uint64_t{v}}; }
  static GgufValue f32(float v) { return {GgufType::kF32, double{v}}; }
  static GgufValue boolean(bool v) { return {GgufType::kBool, v}; }
  static GgufValue string(std::string v) { return {GgufType::kString, std::move(v)}; }
  static GgufValue array(GgufArray v) { return {GgufType::kArray, std::move(v)}; }
};

struct GgufEntry {
  std::string key;
  GgufValue value;
};
// A value for messages: numbers as they are, texts in quotes and cut, arrays by type and size.
std::string printable(const GgufValue& value);

struct GgufTensor {
  std::string name;
  DType type = DType::kF32;
  std::vector<uint64_t> ne;  // dimensions, fastest first; 1 to 4, each >= 1
  uint64_t offset = 0;       // absolute, in the file
  uint64_t bytes = 0;        // 0: of a type whose blocks we do not know

  uint64_t dim(size_t i) const { return i < ne.size() ? ne[i] : 1; }
};

// Whether it begins like one.
bool is_gguf(const ByteSource& source);

// Which tensors a file may have: such as we compute with, or, to be listed only, of any type, where
// GgufTensor::type may be a number that DType has no name for.
enum class GgufTypes { kOurs, kAny };

class GgufFile {
 public:
  // Parses the directory of `source`, which must outlive this object.
  explicit GgufFile(std::shared_ptr<const ByteSource> source, GgufTypes types = GgufTypes::kOurs);

  const ByteSource& source() const { return *source_; }
  uint32_t version() const { return version_; }
  const std::vector<GgufEntry>& entries() const { return entries_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufTensor* find_tensor(std::string_view name) const;

  // Keys and tensors that nobody has looked for by name yet, in the order of the file. Looking for
  // one is noted, so that and these are for one thread at a time.
  std::vector<const GgufEntry*> unread_entries() const;
  std::vector<const GgufTensor*> unread_tensors() const;

  // Typed getters. get_* throw Error(kInvalidData) when the key is absent; both kinds throw when it
  // has another type, e.g. "key 'x': want u32, got i32". Any unsigned width serves as u32.
  const GgufValue* find(std::string_view key) const;
  uint32_t get_u32(std::string_view key) const;
  std::optional<uint32_t> find_u32(std::string_view key) const;
  std::optional<float> find_f32(std::string_view key) const;
  std::optional<bool> find_bool(std::string_view key) const;
  const std::string* find_string(std::string_view key) const;
  // An array whose elements are strings / integers.
  const GgufArray* find_strings(std::string_view key) const;
  const GgufArray* find_integers(std::string_view key) const;

  // From now on there are no entries; what they took, a vocabulary's megabytes, is free.
  void forget_entries();

 private:
  std::shared_ptr<const ByteSource> source_;
  uint32_t version_ = 0;
  std::vector<GgufEntry> entries_;
  std::vector<GgufTensor> tensors_;
  std::unordered_map<std::string_view, size_t> entry_index_, tensor_index_;  // views into the above
  mutable std::vector<bool> entry_read_, tensor_read_;                       // by index
};

inline constexpr uint32_t kGgufAlignment = 32;

// Writes a GGUF v3 file: collect entries and tensor shapes, begin(), then each tensor's bytes in
// the order of add_tensor(). The file appears under its name only after finish().
class GgufWriter {
 public:
  // Tensors begin at multiples of `alignment`, a power of two; another than the usual one is said
  // in the file.
  explicit GgufWriter(uint32_t alignment = kGgufAlignment);

  void set(std::string key, GgufValue value);  // replaces an entry of the same key
  void add_tensor(std::string name, DType type, std::vector<uint64_t> ne);

  // Bytes of the finished file.
  uint64_t file_size() const;

  void begin(const std::string& path);
  void write(std::span<const std::byte> bytes);  // the next bytes of the current tensor
  void finish();

  const std::vector<GgufTensor>& tensors() const { return tensors_; }

 private:
  uint64_t align(uint64_t offset) const;
  std::vector<std::byte> header() const;

  uint64_t alignment_;
  std::vector<GgufEntry> entries_;
  std::vector<GgufTensor> tensors_;  // offset: relative to the data section
  uint64_t data_bytes_ = 0;
  std::unique_ptr<AtomicFile> file_;
  size_t current_ = 0;    // tensor being written
  uint64_t written_ = 0;  // its bytes so far
};

}  // namespace st

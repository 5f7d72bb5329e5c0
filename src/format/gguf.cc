#include "format/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "base/reader.h"
#include "format/file_kind.h"

namespace st {
namespace {

constexpr uint64_t kMaxKeys = 65'536;
constexpr uint64_t kMaxTensors = 65'536;
constexpr uint64_t kMaxKeyBytes = 65'536;
constexpr uint64_t kMaxNameBytes = 63;
constexpr uint64_t kMaxStringBytes = uint64_t{16} << 20;
constexpr uint64_t kMaxArrayItems = uint64_t{16} << 20;
constexpr uint64_t kMaxMetadataBytes = uint64_t{256} << 20;
constexpr uint32_t kMaxDims = 4;

// Bytes of one number of this type; 0 for strings, arrays and unknown types.
uint64_t number_bytes(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    default:
      return 0;
  }
}

bool is_unsigned(GgufType type) {
  return type == GgufType::kU8 || type == GgufType::kU16 || type == GgufType::kU32 ||
         type == GgufType::kU64;
}
bool is_signed(GgufType type) {
  return type == GgufType::kI8 || type == GgufType::kI16 || type == GgufType::kI32 ||
         type == GgufType::kI64;
}

template <typename T>
T load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

int64_t load_integer(GgufType type, const std::byte* p) {
  switch (type) {
    case GgufType::kU8:
      return load<uint8_t>(p);
    case GgufType::kI8:
      return load<int8_t>(p);
    case GgufType::kBool:
      return load<uint8_t>(p) != 0;
    case GgufType::kU16:
      return load<uint16_t>(p);
    case GgufType::kI16:
      return load<int16_t>(p);
    case GgufType::kU32:
      return load<uint32_t>(p);
    case GgufType::kI32:
      return load<int32_t>(p);
    default:
      return load<int64_t>(p);
  }
}

// Reads the directory of a file. Tracks how much metadata was stored, so that many small strings
// cannot add up to more than the limit.
class Parser {
 public:
  Parser(const ByteSource& source, GgufTypes types) : source_(source), types_(types), in_(source) {}

  uint32_t read_header(uint64_t& n_tensors, uint64_t& n_kv) {
    constexpr uint64_t kHeaderBytes = 24;
    const uint64_t size = in_.remaining();
    char magic[4] = {};
    in_.read(magic, std::min<uint64_t>(size, 4), "magic");
    if (size >= 4 && std::memcmp(magic, "GGUF", 4) != 0) {
      fail_wrong_kind("a GGUF file", source_);
    }
    if (size < kHeaderBytes) {
      fail(ErrorCode::kInvalidData,
           "truncated: need {} header bytes, file has {}; incomplete download?", kHeaderBytes,
           size);
    }
    const auto version = in_.get<uint32_t>("version");
    if (version == 0x02000000 || version == 0x03000000) {
      fail(ErrorCode::kUnsupported, "big-endian GGUF unsupported");
    }
    if (version != 2 && version != 3) {
      fail(ErrorCode::kUnsupported, "GGUF version {} unsupported (2-3)", version);
    }
    n_tensors = in_.get<uint64_t>("tensor count");
    n_kv = in_.get<uint64_t>("key count");
    if (n_tensors > kMaxTensors) {
      fail(ErrorCode::kInvalidData, "header: n_tensors {} > {}", n_tensors, kMaxTensors);
    }
    if (n_kv > kMaxKeys) {
      fail(ErrorCode::kInvalidData, "header: n_kv {} > {}", n_kv, kMaxKeys);
    }
    return version;
  }

  GgufEntry read_entry(uint64_t index) {
    GgufEntry entry;
    entry.key = read_string(fmt::format("kv[{}] key", index), kMaxKeyBytes);
    if (entry.key.empty()) fail(ErrorCode::kInvalidData, "kv[{}]: empty key", index);
    const std::string what = fmt::format("kv '{}'", printable(entry.key));
    entry.value.type = read_type(what);
    entry.value.value = read_value(entry.value.type, what);
    return entry;
  }

  GgufTensor read_tensor(uint64_t index) {
    GgufTensor tensor;
    tensor.name = read_string(fmt::format("tensor[{}] name", index), kMaxNameBytes);
    if (tensor.name.empty()) fail(ErrorCode::kInvalidData, "tensor[{}]: empty name", index);
    with_context(fmt::format("tensor '{}'", printable(tensor.name)), [&] {
      const auto n_dims = in_.get<uint32_t>("dimension count");
      if (n_dims < 1 || n_dims > kMaxDims) {
        fail(ErrorCode::kInvalidData, "{} dimensions, want 1..{}", n_dims, kMaxDims);
      }
      for (uint32_t i = 0; i < n_dims; ++i) {
        const auto ne = in_.get<uint64_t>("dimensions");
        if (ne == 0) fail(ErrorCode::kInvalidData, "dimension {} is 0", i);
        tensor.ne.push_back(ne);
      }
      const auto type = in_.get<uint32_t>("type");
      tensor.type = static_cast<DType>(type);
      tensor.bytes = bytes_checked(type_info(type), tensor.ne);
      tensor.offset = in_.get<uint64_t>("offset");
    });
    return tensor;
  }

  // The data begins at the next multiple of `alignment`; all tensors must lie inside the file.
  void place_tensors(std::vector<GgufTensor>& tensors, uint64_t alignment) {
    const uint64_t data = (in_.position() + alignment - 1) / alignment * alignment;
    uint64_t needed = 0;
    for (GgufTensor& tensor : tensors) {
      with_context(fmt::format("tensor '{}'", printable(tensor.name)), [&] {
        if (tensor.offset % alignment != 0) {
          fail(ErrorCode::kInvalidData, "offset {} is not aligned to {}", tensor.offset, alignment);
        }
        tensor.offset = checked_add(data, tensor.offset, "offset");
        needed = std::max(needed, checked_add(tensor.offset, tensor.bytes, "end"));
      });
    }
    check_no_overlap(tensors);
    if (needed > source_.size()) fail_cut(tensors, needed);
  }

 private:
  DTypeInfo type_info(uint32_t id) const {
    if (const DTypeInfo* info = find_dtype(id)) return *info;
    const DTypeInfo* foreign = find_foreign_dtype(id);
    if (types_ == GgufTypes::kOurs && foreign != nullptr) {
      fail(ErrorCode::kUnsupported, "type {} ({}) unsupported", id, foreign->name);
    }
    if (types_ == GgufTypes::kOurs) {
      fail(ErrorCode::kUnsupported, "type {} unsupported", static_cast<int32_t>(id));
    }
    return foreign != nullptr ? *foreign : DTypeInfo{static_cast<DType>(id), {}, 1, 0};
  }

  static uint64_t bytes_checked(const DTypeInfo& info, const std::vector<uint64_t>& ne) {
    if (ne[0] % info.block_values != 0) {
      fail(ErrorCode::kInvalidData, "row of {} values is not a multiple of {}'s block of {}", ne[0],
           info.name, info.block_values);
    }
    uint64_t elements = 1;
    for (const uint64_t n : ne) elements = checked_mul(elements, n, "elements");
    uint64_t bytes = checked_mul(ne[0] / info.block_values, info.block_bytes, "row bytes");
    for (size_t i = 1; i < ne.size(); ++i) bytes = checked_mul(bytes, ne[i], "bytes");
    return bytes;
  }

  static void check_no_overlap(const std::vector<GgufTensor>& tensors) {
    std::vector<const GgufTensor*> order;
    order.reserve(tensors.size());
    for (const GgufTensor& tensor : tensors) order.push_back(&tensor);
    std::ranges::sort(order, {}, [](const GgufTensor* t) { return t->offset; });
    for (size_t i = 1; i < order.size(); ++i) {
      if (order[i]->offset < order[i - 1]->offset + order[i - 1]->bytes) {
        fail(ErrorCode::kInvalidData, "tensor '{}': overlaps tensor '{}'",
             printable(order[i]->name), printable(order[i - 1]->name));
      }
    }
  }

  // Names the first tensor that is not all there.
  [[noreturn]] void fail_cut(const std::vector<GgufTensor>& tensors, uint64_t needed) const {
    const auto cut = [&](const GgufTensor& t) { return t.offset + t.bytes > source_.size(); };
    const GgufTensor& tensor = *std::ranges::find_if(tensors, cut);
    fail(ErrorCode::kInvalidData,
         "tensor '{}': bytes {}..{} past end of file ({}); incomplete download? a whole one has {} "
         "bytes",
         printable(tensor.name), tensor.offset, tensor.offset + tensor.bytes, source_.size(),
         needed);
  }

  std::string read_string(std::string_view what, uint64_t limit) {
    const auto length = in_.get<uint64_t>(what);
    if (length > in_.remaining()) {
      fail(ErrorCode::kInvalidData, "{} length {} exceeds remaining {} bytes", what, length,
           in_.remaining());
    }
    if (length > limit) {
      fail(ErrorCode::kInvalidData, "{} length {} > {}", what, length, limit);
    }
    account(length);
    std::string text(length, '\0');
    in_.read(text.data(), length, what);
    return text;
  }

  GgufType read_type(std::string_view what) {
    const auto type = in_.get<uint32_t>(what);
    if (type > static_cast<uint32_t>(GgufType::kF64)) {
      fail(ErrorCode::kInvalidData, "{}: unknown type {}", what, type);
    }
    return static_cast<GgufType>(type);
  }

  decltype(GgufValue::value) read_value(GgufType type, std::string_view what) {
    if (type == GgufType::kString) return read_string(what, kMaxStringBytes);
    if (type == GgufType::kArray) return read_array(what);
    std::byte bytes[8] = {};
    in_.read(bytes, number_bytes(type), what);
    if (type == GgufType::kBool) return load_integer(type, bytes) != 0;
    if (type == GgufType::kF32) return double{load<float>(bytes)};
    if (type == GgufType::kF64) return load<double>(bytes);
    if (is_signed(type)) return load_integer(type, bytes);
    return static_cast<uint64_t>(load_integer(type, bytes));
  }

  GgufArray read_array(std::string_view what) {
    GgufArray array;
    const auto type = in_.get<uint32_t>(what);
    array.type = static_cast<GgufType>(type);
    array.count = in_.get<uint64_t>(what);
    if (array.type == GgufType::kArray) {
      fail(ErrorCode::kInvalidData, "{}: nested arrays unsupported", what);
    }
    const bool strings = array.type == GgufType::kString;
    const uint64_t item = strings ? 8 : number_bytes(array.type);  // least bytes of an element
    if (item == 0) fail(ErrorCode::kInvalidData, "{}: array of unknown type {}", what, type);
    if (array.count > in_.remaining() / item) {
      fail(ErrorCode::kInvalidData, "{}: {} array items exceed remaining {} bytes", what,
           array.count, in_.remaining());
    }
    if (array.count > kMaxArrayItems) {
      fail(ErrorCode::kInvalidData, "{}: {} array items > {}", what, array.count, kMaxArrayItems);
    }
    if (strings) {
      array.strings.reserve(array.count);
      for (uint64_t i = 0; i < array.count; ++i) {
        array.strings.push_back(read_string(what, kMaxStringBytes));
      }
    } else {
      account(array.count * item);
      array.packed.resize(array.count * item);
      in_.read(array.packed.data(), array.packed.size(), what);
    }
    return array;
  }

  void account(uint64_t bytes) {
    constexpr uint64_t kOverhead = sizeof(std::string);
    metadata_bytes_ += bytes + kOverhead;
    if (metadata_bytes_ > kMaxMetadataBytes) {
      fail(ErrorCode::kInvalidData, "metadata exceeds {} bytes", kMaxMetadataBytes);
    }
  }

  const ByteSource& source_;
  const GgufTypes types_;
  Reader in_;
  uint64_t metadata_bytes_ = 0;
};

[[noreturn]] void fail_type(std::string_view key, std::string_view want, const GgufValue& value) {
  std::string got(gguf_type_name(value.type));
  if (const auto* array = std::get_if<GgufArray>(&value.value)) {
    got = fmt::format("array of {}", gguf_type_name(array->type));
  }
  fail(ErrorCode::kInvalidData, "key {}: want {}, got {}", printable(key), want, got);
}

}  // namespace

std::string_view gguf_type_name(GgufType type) {
  constexpr std::string_view kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                         "bool", "string", "array", "u64", "i64", "f64"};
  return kNames[static_cast<uint32_t>(type)];
}

std::string printable(const GgufValue& value) {
  struct Visitor {
    std::string operator()(const GgufArray& array) const {
      return fmt::format("array of {} {}", array.count, gguf_type_name(array.type));
    }
    std::string operator()(const std::string& text) const {
      return fmt::format("'{}'", printable(text, 80));
    }
    std::string operator()(double x) const { return fmt::format("{}", static_cast<float>(x)); }
    std::string operator()(bool x) const { return x ? "true" : "false"; }
    std::string operator()(uint64_t x) const { return std::to_string(x); }
    std::string operator()(int64_t x) const { return std::to_string(x); }
  };
  return std::visit(Visitor{}, value.value);
}

int64_t GgufArray::integer(uint64_t i) const {
  return load_integer(type, packed.data() + i * number_bytes(type));
}

double GgufArray::number(uint64_t i) const {
  const std::byte* p = packed.data() + i * number_bytes(type);
  if (type == GgufType::kF32) return double{load<float>(p)};
  if (type == GgufType::kF64) return load<double>(p);
  return static_cast<double>(load_integer(type, p));
}

bool GgufArray::holds_integers() const {
  return is_signed(type) || is_unsigned(type) || type == GgufType::kBool;
}

namespace {

GgufArray packed_array(GgufType type, uint64_t count, std::span<const std::byte> bytes) {
  return {.type = type, .count = count, .packed = {bytes.begin(), bytes.end()}, .strings = {}};
}

}  // namespace

GgufArray GgufArray::of(std::span<const int32_t> values) {
  return packed_array(GgufType::kI32, values.size(), std::as_bytes(values));
}

GgufArray GgufArray::of(std::span<const float> values) {
  return packed_array(GgufType::kF32, values.size(), std::as_bytes(values));
}

GgufArray GgufArray::of(const std::vector<bool>& values) {
  const std::vector<uint8_t> bytes(values.begin(), values.end());
  return packed_array(GgufType::kBool, bytes.size(), std::as_bytes(std::span(bytes)));
}

GgufArray GgufArray::of(std::vector<std::string> values) {
  const uint64_t count = values.size();
  return {.type = GgufType::kString, .count = count, .packed = {}, .strings = std::move(values)};
}

bool is_gguf(const ByteSource& source) {
  char magic[4] = {};
  if (source.size() < sizeof magic) return false;
  source.read_at(0, std::as_writable_bytes(std::span(magic)));
  return std::memcmp(magic, "GGUF", sizeof magic) == 0;
}

GgufFile::GgufFile(std::shared_ptr<const ByteSource> source, GgufTypes types)
    : source_(std::move(source)) {
  Parser parser(*source_, types);
  uint64_t n_tensors = 0;
  uint64_t n_kv = 0;
  version_ = parser.read_header(n_tensors, n_kv);
  for (uint64_t i = 0; i < n_kv; ++i) entries_.push_back(parser.read_entry(i));
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (!entry_index_.emplace(entries_[i].key, i).second) {
      fail(ErrorCode::kInvalidData, "kv[{}]: duplicate key '{}'", i, printable(entries_[i].key));
    }
  }
  for (uint64_t i = 0; i < n_tensors; ++i) tensors_.push_back(parser.read_tensor(i));
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (!tensor_index_.emplace(tensors_[i].name, i).second) {
      fail(ErrorCode::kInvalidData, "tensor[{}]: duplicate name '{}'", i,
           printable(tensors_[i].name));
    }
  }
  entry_read_.resize(entries_.size());
  tensor_read_.resize(tensors_.size());
  const uint32_t alignment = find_u32("general.alignment").value_or(kGgufAlignment);
  if (!std::has_single_bit(alignment) || alignment < 8 || alignment > 65'536) {
    fail(ErrorCode::kInvalidData, "general.alignment {}: want power of two in 8..65536", alignment);
  }
  parser.place_tensors(tensors_, alignment);
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  const auto it = tensor_index_.find(name);
  if (it == tensor_index_.end()) return nullptr;
  tensor_read_[it->second] = true;
  return &tensors_[it->second];
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto it = entry_index_.find(key);
  if (it == entry_index_.end()) return nullptr;
  entry_read_[it->second] = true;
  return &entries_[it->second].value;
}

std::vector<const GgufEntry*> GgufFile::unread_entries() const {
  std::vector<const GgufEntry*> unread;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (!entry_read_[i]) unread.push_back(&entries_[i]);
  }
  return unread;
}

std::vector<const GgufTensor*> GgufFile::unread_tensors() const {
  std::vector<const GgufTensor*> unread;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (!tensor_read_[i]) unread.push_back(&tensors_[i]);
  }
  return unread;
}

void GgufFile::forget_entries() {
  entry_index_.clear();
  entries_ = std::vector<GgufEntry>();
}

std::optional<uint32_t> GgufFile::find_u32(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!is_unsigned(value->type)) fail_type(key, "u32", *value);
  const uint64_t number = std::get<uint64_t>(value->value);
  if (number > UINT32_MAX) fail(ErrorCode::kInvalidData, "key {}: {} is too large", key, number);
  return static_cast<uint32_t>(number);
}

uint32_t GgufFile::get_u32(std::string_view key) const {
  const auto value = find_u32(key);
  if (!value) fail(ErrorCode::kInvalidData, "key {}: missing", key);
  return *value;
}

std::optional<float> GgufFile::find_f32(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufType::kF32 && value->type != GgufType::kF64) fail_type(key, "f32", *value);
  return static_cast<float>(std::get<double>(value->value));
}

std::optional<bool> GgufFile::find_bool(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufType::kBool) fail_type(key, "bool", *value);
  return std::get<bool>(value->value);
}

const std::string* GgufFile::find_string(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return nullptr;
  if (value->type != GgufType::kString) fail_type(key, "string", *value);
  return &std::get<std::string>(value->value);
}

const GgufArray* GgufFile::find_strings(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return nullptr;
  const auto* array = std::get_if<GgufArray>(&value->value);
  if (array == nullptr || array->type != GgufType::kString)
    fail_type(key, "array of string", *value);
  return array;
}

const GgufArray* GgufFile::find_integers(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return nullptr;
  const auto* array = std::get_if<GgufArray>(&value->value);
  if (array == nullptr || !array->holds_integers()) fail_type(key, "array of i32", *value);
  return array;
}

}  // namespace st

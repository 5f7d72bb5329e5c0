#include <algorithm>

#include "base/error.h"
#include "format/gguf.h"

namespace st {
namespace {

class Sink {
 public:
  template <typename T>
  void put(T value) {
    append(bytes_of(value));
  }
  void put_string(std::string_view text) {
    put(uint64_t{text.size()});
    append(std::as_bytes(std::span(text)));
  }
  void append(std::span<const std::byte> more) {
    bytes.insert(bytes.end(), more.begin(), more.end());
  }

  void put_number(GgufType type, const GgufValue& value) {
    switch (type) {
      case GgufType::kBool:
        return put(static_cast<uint8_t>(std::get<bool>(value.value)));
      case GgufType::kF32:
        return put(static_cast<float>(std::get<double>(value.value)));
      case GgufType::kF64:
        return put(std::get<double>(value.value));
      case GgufType::kI8:
        return put(static_cast<int8_t>(std::get<int64_t>(value.value)));
      case GgufType::kI16:
        return put(static_cast<int16_t>(std::get<int64_t>(value.value)));
      case GgufType::kI32:
        return put(static_cast<int32_t>(std::get<int64_t>(value.value)));
      case GgufType::kI64:
        return put(std::get<int64_t>(value.value));
      case GgufType::kU8:
        return put(static_cast<uint8_t>(std::get<uint64_t>(value.value)));
      case GgufType::kU16:
        return put(static_cast<uint16_t>(std::get<uint64_t>(value.value)));
      case GgufType::kU32:
        return put(static_cast<uint32_t>(std::get<uint64_t>(value.value)));
      default:
        return put(std::get<uint64_t>(value.value));
    }
  }

  void put_value(const GgufValue& value) {
    if (value.type == GgufType::kString) return put_string(std::get<std::string>(value.value));
    if (value.type != GgufType::kArray) return put_number(value.type, value);
    const auto& array = std::get<GgufArray>(value.value);
    put(static_cast<uint32_t>(array.type));
    put(array.count);
    append(array.packed);
    for (const std::string& text : array.strings) put_string(text);
  }

  std::vector<std::byte> bytes;
};

}  // namespace

GgufWriter::GgufWriter(uint32_t alignment) : alignment_(alignment) {
  if (alignment != kGgufAlignment) set("general.alignment", GgufValue::u32(alignment));
}

uint64_t GgufWriter::align(uint64_t offset) const {
  return (offset + alignment_ - 1) / alignment_ * alignment_;
}

void GgufWriter::set(std::string key, GgufValue value) {
  const auto it = std::ranges::find(entries_, key, &GgufEntry::key);
  if (it != entries_.end()) {
    it->value = std::move(value);
  } else {
    entries_.push_back({std::move(key), std::move(value)});
  }
}

void GgufWriter::add_tensor(std::string name, DType type, std::vector<uint64_t> ne) {
  GgufTensor tensor{std::move(name), type, std::move(ne), align(data_bytes_), 0};
  tensor.bytes = row_bytes(type, tensor.ne[0]);
  for (size_t i = 1; i < tensor.ne.size(); ++i) tensor.bytes *= tensor.ne[i];
  data_bytes_ = tensor.offset + tensor.bytes;
  tensors_.push_back(std::move(tensor));
}

std::vector<std::byte> GgufWriter::header() const {
  Sink out;
  out.append(std::as_bytes(std::span("GGUF", 4)));
  out.put(uint32_t{3});
  out.put(uint64_t{tensors_.size()});
  out.put(uint64_t{entries_.size()});
  for (const GgufEntry& entry : entries_) {
    out.put_string(entry.key);
    out.put(static_cast<uint32_t>(entry.value.type));
    out.put_value(entry.value);
  }
  for (const GgufTensor& tensor : tensors_) {
    out.put_string(tensor.name);
    out.put(static_cast<uint32_t>(tensor.ne.size()));
    for (const uint64_t n : tensor.ne) out.put(n);
    out.put(static_cast<uint32_t>(tensor.type));
    out.put(tensor.offset);
  }
  out.bytes.resize(align(out.bytes.size()));
  return std::move(out.bytes);
}

uint64_t GgufWriter::file_size() const { return header().size() + align(data_bytes_); }

void GgufWriter::begin(const std::string& path) {
  file_ = std::make_unique<AtomicFile>(path);
  file_->write(header());
}

void GgufWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (current_ >= tensors_.size()) fail(ErrorCode::kInvalidUsage, "more data than tensors");
    const GgufTensor& tensor = tensors_[current_];
    const size_t n = static_cast<size_t>(std::min<uint64_t>(bytes.size(), tensor.bytes - written_));
    file_->write(bytes.first(n));
    bytes = bytes.subspan(n);
    written_ += n;
    if (written_ == tensor.bytes) {
      file_->write_zeros(align(written_) - written_);  // the next tensor, and the end, are aligned
      written_ = 0;
      ++current_;
    }
  }
}

void GgufWriter::finish() {
  if (current_ != tensors_.size()) {
    fail(ErrorCode::kInvalidUsage, "tensor '{}' is incomplete", tensors_[current_].name);
  }
  file_->commit();
  file_.reset();
}

}  // namespace st

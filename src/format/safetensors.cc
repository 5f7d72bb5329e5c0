#include "format/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/reader.h"
#include "format/file_kind.h"
#include "format/json_table.h"

namespace st {
namespace {

constexpr uint64_t kFormatHeaderBytes = 100'000'000;      // the limit that the format sets
constexpr uint64_t kMaxHeaderBytes = uint64_t{16} << 20;  // ours: room for kMaxTensors
constexpr size_t kMaxTensors = 65'536;
constexpr std::string_view kMetadata = "__metadata__";

std::string tensor_name(std::string_view name) {
  return fmt::format("tensor '{}'", printable(name));
}

std::optional<DType> float_type(std::string_view name) {
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    if (dtype_name(type) == name) return type;
  }
  return std::nullopt;
}

// Collects the rows of the header. Offsets are left relative to the data.
class Header final : public JsonTableSink {
 public:
  explicit Header(std::shared_ptr<const ByteSource> source) : source_(std::move(source)) {}

  std::vector<CheckpointTensor> take_tensors() { return std::move(tensors_); }

  void cell(const std::string& row, const std::string& column, JsonCell value) override {
    const auto* text = std::get_if<std::string>(&value);
    auto* list = std::get_if<std::vector<uint64_t>>(&value);
    if (row == kMetadata) {
      if (text == nullptr) fail(ErrorCode::kInvalidData, "{}: want strings", kMetadata);
    } else if (column == "dtype" && text != nullptr) {
      type_ = *text;
    } else if (column == "shape" && list != nullptr) {
      shape_ = std::move(*list);
    } else if (column == "data_offsets" && list != nullptr && list->size() == 2) {
      offsets_ = std::move(*list);
    } else {
      fail(ErrorCode::kInvalidData, "{}: key '{}' is unknown or of the wrong type",
           tensor_name(row), printable(column));
    }
  }

  void end_row(const std::string& row) override {
    if (row == kMetadata) return;
    if (tensors_.size() == kMaxTensors) {
      fail(ErrorCode::kInvalidData, "more than {} tensors", kMaxTensors);
    }
    with_context(tensor_name(row), [&] { tensors_.push_back(make_tensor(row)); });
    type_.reset();
    shape_.reset();
    offsets_.reset();
  }

 private:
  CheckpointTensor make_tensor(const std::string& name) const {
    if (!type_ || !shape_ || !offsets_) {
      fail(ErrorCode::kInvalidData, "want dtype, shape and data_offsets");
    }
    const uint64_t begin = (*offsets_)[0];
    const uint64_t end = (*offsets_)[1];
    if (begin > end) fail(ErrorCode::kInvalidData, "offsets {}..{}", begin, end);
    const std::optional<DType> type = float_type(*type_);
    if (!type) {
      fail(ErrorCode::kUnsupported, "type {} unsupported (want F32, F16 or BF16)",
           printable(*type_));
    }
    uint64_t bytes = row_bytes(*type, 1);
    for (const uint64_t n : *shape_) bytes = checked_mul(bytes, n, "shape");
    if (bytes != end - begin) {
      fail(ErrorCode::kInvalidData, "offsets {}..{}, but {} [{}] takes {} bytes", begin, end,
           *type_, fmt::join(*shape_, ", "), bytes);
    }
    return {name, *type, *shape_, begin, bytes, source_};
  }

  std::shared_ptr<const ByteSource> source_;
  std::vector<CheckpointTensor> tensors_;
  std::optional<std::string> type_;  // of the row being read
  std::optional<std::vector<uint64_t>> shape_, offsets_;
};

// Says of a file that begins like something else what that is.
void check_kind(const ByteSource& source) {
  uint64_t header_bytes = 0;
  char first = 0;
  Reader reader(source);
  if (source.size() > sizeof header_bytes) {
    header_bytes = reader.get<uint64_t>("header length");
    first = reader.get<char>("header");
  }
  const bool right = first == '{' && header_bytes <= kFormatHeaderBytes;
  if (!right && !file_kind(source).empty()) fail_wrong_kind("a safetensors file", source);
}

}  // namespace

std::vector<CheckpointTensor> read_safetensors(std::shared_ptr<const ByteSource> source) {
  check_kind(*source);
  Reader reader(*source);
  const auto header_bytes = reader.get<uint64_t>("header length");
  if (header_bytes > kFormatHeaderBytes) {
    fail(ErrorCode::kInvalidData, "header {} bytes > 100 MB", header_bytes);
  }
  if (header_bytes > reader.remaining()) {
    fail(ErrorCode::kInvalidData, "truncated: header {} bytes, {} left", header_bytes,
         reader.remaining());
  }
  if (header_bytes > kMaxHeaderBytes) {
    fail(ErrorCode::kUnsupported, "header {} bytes > {}", header_bytes, kMaxHeaderBytes);
  }
  std::string text(header_bytes, '\0');
  reader.read(text.data(), text.size(), "header");
  if (!text.starts_with('{')) fail(ErrorCode::kInvalidData, "header does not begin with '{{'");
  Header header(std::move(source));  // which keeps what `reader` reads
  with_context("header", [&] { parse_json_table(text, header); });

  // In the order of their data, tensors must touch: no holes, no overlaps, nothing left over.
  std::vector<CheckpointTensor> tensors = header.take_tensors();
  std::ranges::sort(tensors, {}, [](const CheckpointTensor& t) {
    return std::pair(t.offset, t.offset + t.bytes);
  });
  const uint64_t data_bytes = reader.remaining();
  uint64_t end = 0;
  for (CheckpointTensor& tensor : tensors) {
    if (tensor.offset != end) {
      fail(ErrorCode::kInvalidData, "{}: offsets {}..{} leave a hole or overlap: want {}",
           tensor_name(tensor.name), tensor.offset, tensor.offset + tensor.bytes, end);
    }
    end += tensor.bytes;
    if (end > data_bytes) {
      fail(ErrorCode::kInvalidData, "{}: offsets {}..{} past the end of the data ({})",
           tensor_name(tensor.name), tensor.offset, end, data_bytes);
    }
    tensor.offset += reader.position();
  }
  if (end != data_bytes) {
    fail(ErrorCode::kInvalidData, "data: {} bytes, of which tensors cover {}", data_bytes, end);
  }
  return tensors;
}

}  // namespace st

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/reader.h"
#include "format/checkpoint.h"
#include "format/file_kind.h"
#include "format/json_object.h"
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

namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxIndexBytes = uint64_t{16} << 20;
constexpr std::string_view kWhole = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";

// Which shard holds each tensor, from the index file.
class Index final : public JsonTableSink {
 public:
  const std::map<std::string, std::string>& shards() const { return shards_; }

  void cell(const std::string& row, const std::string& column, JsonCell value) override {
    if (row != "weight_map") return;
    const auto* shard = std::get_if<std::string>(&value);
    if (shard == nullptr) {
      fail(ErrorCode::kInvalidData, "{}: want a file name", tensor_name(column));
    }
    if (shard->empty() || *shard == "." || *shard == ".." ||
        shard->find_first_of(std::string_view("/\\\0", 3)) != shard->npos) {
      fail(ErrorCode::kInvalidData, "{}: shard path leaves the model directory",
           tensor_name(column));
    }
    if (shards_.size() == kMaxTensors) {
      fail(ErrorCode::kInvalidData, "more than {} tensors", kMaxTensors);
    }
    shards_.emplace(column, *shard);
  }

  void end_row(const std::string&) override {}

 private:
  std::map<std::string, std::string> shards_;
};

std::vector<CheckpointTensor> read_file(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/" + name;
  return with_context(printable_path(path), [&] {
    std::vector<CheckpointTensor> tensors = read_safetensors(std::make_shared<File>(path));
    for (CheckpointTensor& tensor : tensors) tensor.file = path;
    return tensors;
  });
}

[[noreturn]] void fail_both(const std::string& folder, const std::string& shard) {
  fail(ErrorCode::kInvalidData, "{}: both {} and {}: remove what is not the model",
       printable_path(folder), kWhole, printable(shard));
}

// `whole`: there is a file of all tensors, too.
std::vector<CheckpointTensor> read_shards(const std::string& folder, bool whole) {
  const std::string path = fmt::format("{}/{}", folder, kIndex);
  const std::string text = read_text_file(path, kMaxIndexBytes);
  Index index;
  with_context(printable_path(path), [&] {
    check_json_object(text);
    parse_json_table(text, index);
    if (index.shards().empty()) fail(ErrorCode::kInvalidData, "weight_map: lists no tensors");
  });

  std::set<std::string> names;
  for (const auto& [tensor, shard] : index.shards()) names.insert(shard);
  if (whole && !names.contains(std::string(kWhole))) fail_both(folder, *names.begin());
  std::vector<CheckpointTensor> tensors;
  for (const std::string& name : names) {
    for (CheckpointTensor& tensor : read_file(folder, name)) {
      const auto listed = index.shards().find(tensor.name);
      if (listed == index.shards().end() || listed->second != name) {
        fail(ErrorCode::kInvalidData, "{}: {}: in {}, where the index does not list it",
             printable_path(path), tensor_name(tensor.name), printable(name));
      }
      tensors.push_back(std::move(tensor));
    }
  }
  std::set<std::string_view> found;
  for (const CheckpointTensor& tensor : tensors) found.insert(tensor.name);
  for (const auto& [tensor, shard] : index.shards()) {
    if (!found.contains(tensor)) {
      fail(ErrorCode::kInvalidData, "{}: {}: not in {}", printable_path(path), tensor_name(tensor),
           printable(shard));
    }
  }
  return tensors;
}

// The names in `folder`, in order; what cannot be looked at has none.
std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    names.push_back(entry.path().filename());
  }
  std::ranges::sort(names);
  return names;
}

std::string shard_name(unsigned number, unsigned count) {
  return fmt::format("model-{:05}-of-{:05}.safetensors", number, count);
}

// How many shards there should be, if `name` is that of one.
std::optional<unsigned> shard_count(const std::string& name) {
  unsigned number = 0;
  unsigned count = 0;
  if (std::sscanf(name.c_str(), "model-%5u-of-%5u.safetensors", &number, &count) != 2) return {};
  if (name != shard_name(number, count)) return {};
  return count;
}

// Shards whose names say how many there are, without an index; nothing if there are none.
std::optional<std::vector<CheckpointTensor>> read_numbered_shards(
    const std::string& folder, const std::vector<std::string>& names) {
  std::set<unsigned> counts;
  for (const std::string& name : names) {
    if (const auto count = shard_count(name)) counts.insert(*count);
  }
  if (counts.empty()) return std::nullopt;
  if (counts.size() > 1) {
    fail(ErrorCode::kInvalidData, "{}: shards of {} and of {} files, and no {}",
         printable_path(folder), *counts.begin(), *counts.rbegin(), kIndex);
  }
  const unsigned count = *counts.begin();
  for (unsigned i = 1; i <= count; ++i) {
    if (std::ranges::binary_search(names, shard_name(i, count))) continue;
    fail(ErrorCode::kNotFound, "{}/{}: missing; incomplete download?", printable_path(folder),
         shard_name(i, count));
  }
  std::vector<CheckpointTensor> tensors;
  std::map<std::string, std::string> shards;  // of each tensor
  for (unsigned i = 1; i <= count; ++i) {
    for (CheckpointTensor& tensor : read_file(folder, shard_name(i, count))) {
      const auto [first, fresh] = shards.emplace(tensor.name, shard_name(i, count));
      if (!fresh) {
        fail(ErrorCode::kInvalidData, "{}: {}: also in {}", printable_path(tensor.file),
             tensor_name(tensor.name), first->second);
      }
      tensors.push_back(std::move(tensor));
    }
  }
  return tensors;
}

// What to do about a folder without weights as we read them.
std::string hint(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const std::string shown = printable(name);
    if (name.ends_with(".gguf")) return fmt::format("; {} is no checkpoint but converted", shown);
    if (name.starts_with("pytorch_model") && name.ends_with(".bin")) {
      return fmt::format("; {} is not read: load and save the model with a current Transformers",
                         shown);
    }
    if (name.starts_with("adapter_model")) {
      return fmt::format("; {} is an adapter: merge it into its model first", shown);
    }
    std::string lower = name;
    std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
    if (lower.ends_with(".safetensors")) return fmt::format("; {} has none of their names", shown);
  }
  return "";
}

}  // namespace

std::vector<CheckpointTensor> read_safetensors_folder(const std::string& folder) {
  const std::vector<std::string> names = names_in(folder);
  const auto there = [&](std::string_view name) { return std::ranges::binary_search(names, name); };
  const bool whole = there(kWhole);
  if (there(kIndex)) return read_shards(folder, whole);
  if (whole) {
    const auto shard = std::ranges::find_if(
        names, [](const std::string& name) { return shard_count(name).has_value(); });
    if (shard != names.end()) fail_both(folder, *shard);
    return read_file(folder, std::string(kWhole));
  }
  if (auto tensors = read_numbered_shards(folder, names)) return *std::move(tensors);
  fail(ErrorCode::kNotFound, "{}: neither {} nor {} in this folder{}", printable_path(folder),
       kWhole, kIndex, hint(names));
}

}  // namespace st

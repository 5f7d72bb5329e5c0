#include "convert/imatrix.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace st {
namespace {

constexpr std::string_view kSquares = ".in_sum2";
constexpr std::string_view kCounts = ".counts";
constexpr std::string_view kSums = ".in_sum";

template <typename T>
void write_floats(std::span<const T> values, GgufWriter& out) {
  const std::vector<float> floats(values.begin(), values.end());
  out.write(std::as_bytes(std::span(floats)));
}

ImatrixSource read_source(const GgufFile& file) {
  const std::string* type = file.find_string("general.type");
  if (type == nullptr || *type != "imatrix") {
    fail(ErrorCode::kInvalidData, "is no imatrix: general.type is {}, want 'imatrix'",
         type == nullptr ? "missing" : "'" + printable(*type) + "'");
  }
  ImatrixSource source{.chunks = file.find_u32("imatrix.chunk_count").value_or(0),
                       .chunk_size = file.find_u32("imatrix.chunk_size").value_or(0)};
  if (const GgufArray* names = file.find_strings("imatrix.datasets")) {
    source.datasets = names->strings;
  }
  return source;
}

void check_values(const GgufTensor& tensor, std::span<const float> values) {
  const auto bad = std::ranges::find_if(
      values, [](float value) { return !(value >= 0) || !std::isfinite(value); });
  if (bad == values.end()) return;
  fail(ErrorCode::kInvalidData, "tensor '{}': value {} is {}: want a finite number, 0 or more",
       printable(tensor.name), bad - values.begin(), *bad);
}

// What llama-imatrix wrote before it wrote GGUF has nothing but its name to know it by.
GgufModel open_imatrix(const std::string& path) {
  if (path.ends_with(".dat") && !is_gguf(File(path))) {
    fail(ErrorCode::kUnsupported,
         "{}: not a GGUF file; of the older format 'llama-imatrix --in-file OLD.dat -o NEW.gguf' "
         "makes one",
         printable_path(path));
  }
  return GgufModel(path);
}

}  // namespace

void write_imatrix(const std::string& path, const ImatrixSource& source,
                   const std::map<std::string, ImportanceSums>& sums) {
  GgufWriter out;
  out.set("general.type", GgufValue::string("imatrix"));
  out.set("imatrix.datasets", GgufValue::array(GgufArray::of(source.datasets)));
  out.set("imatrix.chunk_count", GgufValue::u32(source.chunks));
  out.set("imatrix.chunk_size", GgufValue::u32(source.chunk_size));
  for (const auto& [name, s] : sums) {
    const uint64_t matrices = s.counts.size();
    const std::string squares = name + std::string(kSquares), counts = name + std::string(kCounts);
    out.add_tensor(squares, DType::kF32, {s.squares.size() / matrices, matrices});
    out.add_tensor(counts, DType::kF32, {1, matrices});
  }
  out.begin(path);
  for (const auto& [name, s] : sums) {
    write_floats(std::span(s.squares), out);
    write_floats(std::span(s.counts), out);
  }
  out.finish();
}

ImatrixFile::ImatrixFile(const std::string& path)
    : ImatrixFile(open_imatrix(path), printable_path(path)) {}

ImatrixFile::ImatrixFile(GgufModel file, std::string name)
    : name_(std::move(name)), file_(std::move(file)) {
  with_context(name_, [&] {
    source_ = read_source(file_.metadata());
    for (const GgufModel::Tensor& tensor : file_.tensors()) add(tensor);
    for (const auto& [tensor, place] : places_) {
      if (place.squares && place.counts) continue;
      fail(ErrorCode::kInvalidData, "tensor '{}{}': missing", printable(tensor),
           place.squares ? kCounts : kSquares);
    }
  });
}

void ImatrixFile::add(const GgufModel::Tensor& tensor) {
  const std::string_view name = tensor.info->name;
  if (tensor.info->type != DType::kF32) {
    fail(ErrorCode::kUnsupported, "tensor '{}': type {}, want F32", printable(name),
         dtype_name(tensor.info->type));
  }
  const auto of = [&](std::string_view ending) -> Place& {
    return places_[std::string(name.substr(0, name.size() - ending.size()))];
  };
  if (name.ends_with(kSquares)) {
    of(kSquares).squares = tensor;
  } else if (name.ends_with(kCounts)) {
    of(kCounts).counts = tensor;
  } else if (!name.ends_with(kSums)) {
    fail(ErrorCode::kUnsupported, "tensor '{}': not known in an imatrix (known: NAME{}, NAME{})",
         printable(name), kSquares, kCounts);
  }
}

std::vector<std::string> ImatrixFile::tensors() const {
  std::vector<std::string> names;
  for (const auto& [name, place] : places_) names.push_back(name);
  return names;
}

std::vector<float> ImatrixFile::read(const GgufModel::Tensor& tensor) const {
  std::vector<float> values(tensor.info->bytes / sizeof(float));
  tensor.source->read_at(tensor.info->offset, std::as_writable_bytes(std::span(values)));
  check_values(*tensor.info, values);
  return values;
}

std::optional<std::vector<float>> ImatrixFile::find(const std::string& tensor, uint64_t cols,
                                                    uint64_t matrices) const {
  const auto found = places_.find(tensor);
  if (found == places_.end()) return std::nullopt;
  const auto& [squares, counts] = found->second;
  return with_context(name_, [&] {
    const auto check = [&](const GgufTensor& t, uint64_t n, uint64_t m) {
      if (t.dim(0) == n && t.bytes == n * m * sizeof(float)) return;
      fail(ErrorCode::kInvalidData, "tensor '{}': shape [{}], want [{}, {}]", printable(t.name),
           fmt::join(t.ne, ", "), n, m);
    };
    check(*squares.info, cols, matrices);
    check(*counts.info, 1, matrices);
    std::vector<float> means = read(squares);
    const std::vector<float> rows = read(counts);
    for (const float count : rows) {
      if (count == std::floor(count)) continue;
      fail(ErrorCode::kInvalidData, "tensor '{}': {} rows: want a whole number",
           printable(counts.info->name), count);
    }
    for (uint64_t i = 0; i < means.size(); ++i) {
      const float count = rows[i / cols];
      means[i] = count > 0 ? means[i] / count : 1;
    }
    return std::optional(std::move(means));
  });
}

}  // namespace st

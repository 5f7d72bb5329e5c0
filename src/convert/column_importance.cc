#include "convert/column_importance.h"

#include <fmt/format.h>

#include <memory>
#include <numeric>
#include <span>

#include "arch/names.h"
#include "base/error.h"

namespace st {
namespace {

// Encoders want values around 1: only what columns are to each other counts.
void make_mean_one(std::span<float> importance) {
  const double sum = std::accumulate(importance.begin(), importance.end(), 0.0);
  if (!(sum > 0)) return;
  const double norm = static_cast<double>(importance.size()) / sum;
  for (float& v : importance) v = static_cast<float>(v * norm);
}

}  // namespace

ColumnImportance::ColumnImportance(const std::string& path, const GgufFile& model)
    : path_(path),
      down_transposed_(model.find_bool("smallthinker.ffn_down_transposed").value_or(false)) {
  if (!path.empty()) file_.emplace(path);
}

RowImportance ColumnImportance::rows_of(const GgufTensor& tensor) {
  if (!file_) return nullptr;
  if (down_transposed_ && tensor.name.find(names::kFfnDown) != std::string::npos) {
    ++used_;
    return nullptr;
  }
  const uint64_t cols = tensor.ne[0], rows = tensor.dim(1), matrices = tensor.dim(2);
  auto found = file_->find(tensor.name, cols, matrices);
  if (!found) {
    missing_.push_back(tensor.name);
    return nullptr;
  }
  ++used_;
  for (uint64_t m = 0; m < matrices; ++m) make_mean_one(std::span(*found).subspan(m * cols, cols));
  const auto importance = std::make_shared<const std::vector<float>>(std::move(*found));
  return [=](uint64_t row) { return importance->data() + row / rows * cols; };
}

void ColumnImportance::set_metadata(GgufWriter& out) const {
  if (!file_) return;
  const auto set = [&](std::string_view key, GgufValue value) {
    out.set(fmt::format("quantize.imatrix.{}", key), std::move(value));
  };
  const ImatrixSource& source = file_->source();
  set("file", GgufValue::string(path_));
  if (!source.datasets.empty()) set("dataset", GgufValue::string(source.datasets.front()));
  set("entries_count", GgufValue::u32(static_cast<uint32_t>(file_->tensors().size())));
  set("chunks_count", GgufValue::u32(source.chunks));
}

std::vector<std::string> ColumnImportance::notices() const {
  std::vector<std::string> notices;
  if (!file_) return notices;
  if (!missing_.empty()) {
    notices.push_back(fmt::format("{} says nothing of {} matrices, the first is {}",
                                  printable_path(path_), missing_.size(),
                                  printable(missing_.front())));
  }
  if (const size_t all = file_->tensors().size(); all > used_) {
    notices.push_back(fmt::format("{} has {} matrices that are not encoded here",
                                  printable_path(path_), all - used_));
  }
  return notices;
}

}  // namespace st

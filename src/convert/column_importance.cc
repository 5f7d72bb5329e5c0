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

ColumnImportance::ColumnImportance(const std::string& path, const GgufModel& model)
    : path_(path), model_(model) {
  if (!path.empty()) file_.emplace(path);
}

// Down matrices that are transposed. Their shape says so, and where it cannot, the model's key.
bool ColumnImportance::rows_are_neurons(const GgufTensor& tensor) const {
  if (tensor.name.find(names::kFfnDown) == std::string::npos) return false;
  const GgufTensor* embedding = model_.find(names::kEmbedding).info;
  if (embedding == nullptr || tensor.dim(0) == tensor.dim(1)) {
    return model_.metadata().find_bool("smallthinker.ffn_down_transposed").value_or(false);
  }
  return tensor.dim(0) == embedding->dim(0);
}

RowImportance ColumnImportance::rows_of(const GgufTensor& tensor) {
  if (!file_ || rows_are_neurons(tensor)) return nullptr;
  const uint64_t cols = tensor.ne[0], rows = tensor.dim(1), matrices = tensor.dim(2);
  auto found = file_->find(tensor.name, cols, matrices);
  if (!found) {
    missing_.push_back(tensor.name);
    return nullptr;
  }
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
  std::vector<std::string> foreign = file_->tensors();
  std::erase_if(foreign,
                [&](const std::string& name) { return model_.find(name).info != nullptr; });
  if (!foreign.empty()) {
    notices.push_back(fmt::format("{} has {} matrices that the model has not, the first is {}",
                                  printable_path(path_), foreign.size(),
                                  printable(foreign.front())));
  }
  return notices;
}

}  // namespace st

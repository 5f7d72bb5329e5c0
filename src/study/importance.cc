#include "study/importance.h"

#include <algorithm>

#include "arch/names.h"

namespace st {
namespace {

// rows: (n, cols) of what matrix i was multiplied with.
void add(ImportanceSums& sums, size_t i, std::span<const float> rows) {
  const size_t cols = sums.squares.size() / sums.counts.size();
  double* squares = sums.squares.data() + i * cols;
  for (size_t at = 0; at < rows.size(); at += cols) {
    for (size_t c = 0; c < cols; ++c) squares[c] += double{rows[at + c]} * rows[at + c];
  }
  sums.counts[i] += static_cast<int64_t>(rows.size() / cols);
}

}  // namespace

uint64_t Importance::bytes(const Model& model, bool output) {
  const ModelConfig& c = model.config();
  uint64_t values = output ? static_cast<uint64_t>(c.hidden) + 1 : 0;
  for (const auto& [info, source] : model.file().tensors()) {
    const bool matrix = info->ne.size() == 2 && names::is_of_layer(info->name);
    if (matrix) values += info->dim(0) + 1;
  }
  for (int64_t l = 0; l < c.layers; ++l) {
    const Ffn& ffn = c.ffn(l);
    values += static_cast<uint64_t>(ffn.experts * (2 * c.hidden + ffn.width + 3));
  }
  return values * sizeof(double);
}

ImportanceSums& Importance::of(const std::string& tensor, int64_t cols, int64_t matrices) {
  ImportanceSums& sums = sums_[tensor];
  sums.squares.resize(static_cast<size_t>(cols * matrices));
  sums.counts.resize(static_cast<size_t>(matrices));
  return sums;
}

void Importance::projected(const Matrix& w, std::span<const float> x) {
  const auto found = names_.find(w.data);
  if (found == names_.end()) return;
  const std::string& name = found->second;
  const bool is_output = w.data == model_.weights().output.data;
  if (names::is_of_layer(name) || (output_ && is_output)) add(of(name, w.cols, 1), 0, x);
}

const Importance::Parts& Importance::parts(int64_t layer) {
  const auto found = parts_.find(layer);
  if (found != parts_.end()) return found->second;
  const Ffn& ffn = model_.config().ffn(layer);
  const auto& tensors = ffn.routed ? names::kExpertParts : names::kDenseParts;
  const int64_t cols[] = {model_.config().hidden, model_.config().hidden, ffn.width};
  Parts parts{};
  for (size_t i = 0; i < parts.size(); ++i) {
    parts[i] = &of(names::layer(layer, tensors[i]), cols[i], ffn.experts);
  }
  return parts_.emplace(layer, parts).first->second;
}

void Importance::in_expert(int64_t layer, int32_t expert, std::span<const float> in,
                           std::span<const float> neurons) {
  const auto& [gate, up, down] = parts(layer);
  const auto i = static_cast<size_t>(expert);
  add(*gate, i, in);
  add(*up, i, in);
  add(*down, i, neurons);
}

Importance::Experts Importance::experts() const {
  Experts experts;
  for (const auto& [layer, parts] : parts_) {
    if (!model_.config().ffn(layer).routed) continue;
    const std::vector<int64_t>& counts = parts.front()->counts;
    experts.all += std::ssize(counts);
    experts.unused += std::ranges::count(counts, 0);
  }
  return experts;
}

}  // namespace st

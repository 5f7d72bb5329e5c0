// Weights of a model in memory.
//
// Loading has two steps. First the model asks for every tensor it needs, with the shape it must
// have; each request is checked against the file and given its place in memory. Then read_all()
// fills all places at once, in parallel. So a wrong file is refused before anything large is read.
#pragma once

#include <string_view>
#include <vector>

#include "base/memory.h"
#include "base/progress.h"
#include "base/thread_pool.h"
#include "format/gguf_model.h"
#include "tensor/matrix.h"

namespace st {

// A stack of `count` matrices of the same shape, back to back.
struct MatrixStack {
  Matrix first;
  int64_t count = 0;

  explicit operator bool() const { return static_cast<bool>(first); }
  Matrix operator[](int64_t i) const {
    Matrix m = first;
    m.data += static_cast<uint64_t>(i * m.rows) * m.stride();
    return m;
  }
};

class WeightStore {
 public:
  explicit WeightStore(const GgufModel& model);

  // Requests. The returned views point to memory that is valid as long as the store and holds the
  // weights after read_all(). Asking twice for a tensor gives the same place. Throws
  // Error(kInvalidData) when the tensor is missing or shaped otherwise.
  Matrix matrix(std::string_view name, int64_t rows, int64_t cols);
  MatrixStack stack(std::string_view name, int64_t count, int64_t rows, int64_t cols);
  const float* vector(std::string_view name, int64_t n);  // must be F32

  bool has(std::string_view name) const { return static_cast<bool>(model_.find(name)); }
  const GgufTensor* info(std::string_view name) const { return model_.find(name).info; }

  void read_all(ThreadPool& pool, const Progress& progress);

  // Bytes of all requested tensors.
  uint64_t bytes() const { return bytes_; }

 private:
  struct Place {
    GgufModel::Tensor tensor;
    uint64_t offset;  // into memory_
  };
  const std::byte* place(std::string_view name, DType& type, std::vector<uint64_t> ne);

  const GgufModel& model_;
  MemoryRegion memory_;  // room for every tensor of the file; only requested ones are touched
  std::vector<Place> places_;
  uint64_t bytes_ = 0;
  uint64_t used_ = 0;
};

}  // namespace st

// Streams rows of one type into rows of another, a bounded piece at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/file.h"
#include "base/thread_pool.h"
#include "tensor/dtype.h"

namespace st {

// What encoding lost: sums over all values.
struct EncodeError {
  double squared_error = 0;
  double squared_value = 0;
  double relative_rms() const;  // sqrt(error / value); 0 for nothing
  void add(const EncodeError& other);
};

// Where rows come from: `rows` x `cols` values of `type` at `offset` of `source`.
struct RowSource {
  const ByteSource& source;
  uint64_t offset;
  DType type;
  uint64_t rows, cols;
};

using ByteSink = std::function<void(std::span<const std::byte>)>;

// The importance of the columns, (cols), for a row of the output: see quantize_row. Null: of none.
using RowImportance = std::function<const float*(uint64_t row)>;

// Writes the rows as `type` to `sink`, in order, on all threads. With `transpose` row i of the
// output is column i of the source, which is then read whole. If `error` is given, every encoded
// value is decoded again and compared. Throws Error(kInvalidData) naming the row of a value that is
// not finite or that `type` cannot hold.
void encode_rows(const RowSource& in, DType type, bool transpose, ThreadPool& pool,
                 const ByteSink& sink, EncodeError* error = nullptr,
                 const RowImportance& importance = nullptr);

}  // namespace st

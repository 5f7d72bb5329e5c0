#include "convert/encode.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <vector>

#include "base/error.h"
#include "tensor/quantize.h"

namespace st {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{16} << 20;  // of source rows held at a time
constexpr int64_t kNone = INT64_MAX;

// Encodes rows [begin, end) of the piece. `value_row(r, out)` gives row r as floats,
// `importance(r)` that of its columns.
template <typename ValueRow, typename Importance>
EncodeError encode_range(int64_t begin, int64_t end, int64_t cols, DType type, bool measure,
                         std::byte* out, std::atomic<int64_t>& bad_row, const ValueRow& value_row,
                         const Importance& importance) {
  EncodeError error;
  std::vector<float> values(static_cast<size_t>(cols));
  std::vector<float> back(measure ? values.size() : 0);
  const uint64_t stride = row_bytes(type, static_cast<uint64_t>(cols));
  for (int64_t r = begin; r < end; ++r) {
    value_row(r, values.data());
    std::byte* row = out + static_cast<uint64_t>(r) * stride;
    quantize_row(type, values.data(), cols, row, importance(r));
    const float limit = dtype_info(type).largest;
    if (!std::ranges::all_of(values, [&](float v) { return std::abs(v) <= limit; })) {
      int64_t first = bad_row.load();
      while (r < first && !bad_row.compare_exchange_weak(first, r)) {
      }
    }
    if (!measure) continue;
    dequantize_row(type, row, cols, back.data());
    for (size_t i = 0; i < back.size(); ++i) {
      const double difference = static_cast<double>(back[i]) - values[i];
      error.squared_error += difference * difference;
      error.squared_value += static_cast<double>(values[i]) * values[i];
    }
  }
  return error;
}

}  // namespace

double EncodeError::relative_rms() const {
  return squared_value > 0 ? std::sqrt(squared_error / squared_value) : 0;
}

void EncodeError::add(const EncodeError& other) {
  squared_error += other.squared_error;
  squared_value += other.squared_value;
}

void encode_rows(const RowSource& in, DType type, bool transpose, ThreadPool& pool,
                 const ByteSink& sink, EncodeError* error, const RowImportance& importance) {
  const uint64_t in_stride = row_bytes(in.type, in.cols);
  const uint64_t piece_rows =
      transpose ? in.rows : std::clamp<uint64_t>(kPieceBytes / in_stride, 1, in.rows);
  const auto cols = static_cast<int64_t>(transpose ? in.rows : in.cols);
  std::vector<std::byte> piece(piece_rows * in_stride);
  std::vector<float> whole;  // the decoded matrix, when it is transposed
  std::vector<std::byte> encoded;
  std::mutex mutex;
  for (uint64_t first = 0; first < in.rows; first += piece_rows) {
    const uint64_t n = std::min(piece_rows, in.rows - first);
    in.source.read_at(in.offset + first * in_stride, std::span(piece).first(n * in_stride));
    if (transpose) {
      whole.resize(in.rows * in.cols);
      pool.parallel_for(static_cast<int64_t>(n), 1, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const auto row = static_cast<uint64_t>(r);
          dequantize_row(in.type, piece.data() + row * in_stride, static_cast<int64_t>(in.cols),
                         whole.data() + row * in.cols);
        }
      });
    }
    const auto value_row = [&](int64_t r, float* out) {
      const auto row = static_cast<uint64_t>(r);
      if (!transpose) return dequantize_row(in.type, piece.data() + row * in_stride, cols, out);
      for (uint64_t i = 0; i < in.rows; ++i) out[i] = whole[i * in.cols + row];
    };
    const auto row_importance = [&](int64_t r) {
      return importance ? importance(first + static_cast<uint64_t>(r)) : nullptr;
    };
    const auto out_rows = static_cast<int64_t>(transpose ? in.cols : n);
    encoded.resize(static_cast<uint64_t>(out_rows) * row_bytes(type, static_cast<uint64_t>(cols)));
    std::atomic<int64_t> bad_row{kNone};
    pool.parallel_for(out_rows, 1, [&](int64_t begin, int64_t end) {
      const EncodeError part = encode_range(begin, end, cols, type, error != nullptr,
                                            encoded.data(), bad_row, value_row, row_importance);
      if (error == nullptr) return;
      const std::lock_guard lock(mutex);
      error->add(part);
    });
    if (bad_row != kNone) {
      fail(ErrorCode::kInvalidData, "{} {}: a value is not finite or too large for {}",
           transpose ? "column" : "row", first + static_cast<uint64_t>(bad_row.load()),
           dtype_name(type));
    }
    sink(encoded);
  }
}

}  // namespace st

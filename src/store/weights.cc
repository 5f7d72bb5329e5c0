#include "store/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/aligned.h"
#include "base/error.h"
#include "base/first_error.h"
#include "quant/quantize.h"
#include "tensor/layout.h"

namespace st {
namespace {

uint64_t align(uint64_t offset) { return (offset + kAlignment - 1) / kAlignment * kAlignment; }

uint64_t room_for_all(const GgufModel& model) {
  uint64_t bytes = 0;
  for (const auto& tensor : model.tensors()) bytes += align(tensor.info->bytes);
  return 2 * bytes;  // addresses, not memory: a regrouped matrix of few columns is padded
}

std::string show(std::span<const uint64_t> ne) { return fmt::format("[{}]", fmt::join(ne, ",")); }

// Trailing dimensions of 1 do not count: {D, V, 1} is {D, V}.
bool same_shape(const GgufTensor& tensor, const std::vector<uint64_t>& want) {
  for (size_t i = 0; i < std::max(tensor.ne.size(), want.size()); ++i) {
    if (tensor.dim(i) != (i < want.size() ? want[i] : 1)) return false;
  }
  return true;
}

}  // namespace

WeightStore::WeightStore(const GgufModel& model, bool stream)
    : model_(model), stream_(stream), memory_(room_for_all(model)) {
  memory_.prefer_huge_pages();
}

WeightStore::Place& WeightStore::place(std::string_view name, const std::vector<uint64_t>& ne,
                                       uint64_t first_byte, int64_t count, int64_t rows,
                                       int64_t cols, bool regroup) {
  const GgufModel::Tensor tensor = model_.find(name);
  if (!tensor) fail(ErrorCode::kInvalidData, "tensor '{}': missing", name);
  if (!same_shape(*tensor.info, ne)) {
    fail(ErrorCode::kInvalidData, "tensor '{}': shape {}, want {}", name, show(tensor.info->ne),
         show(ne));
  }
  const auto known = std::ranges::find_if(places_, [&](const Place& p) {
    return p.tensor.info == tensor.info && p.first_byte == first_byte;
  });
  if (known != places_.end()) return *known;
  const DType type = tensor.info->type;
  const uint64_t bytes = static_cast<uint64_t>(rows) * row_bytes(type, static_cast<uint64_t>(cols));
  const uint64_t step = regroup ? align(neuron_rows_bytes(type, rows, cols)) : bytes;
  places_.push_back({tensor, first_byte, count, rows, cols, regroup, kNowhere, step});
  bytes_ += static_cast<uint64_t>(count) * bytes;
  return places_.back();
}

// What is needed in memory, it alone takes room there.
Matrix WeightStore::view(Place& p, bool in_memory) {
  if (in_memory && p.offset == kNowhere) {
    p.offset = used_;
    used_ += align(static_cast<uint64_t>(p.count) * p.step);
  }
  const std::byte* data = p.offset == kNowhere ? nullptr : memory_.data() + p.offset;
  return {p.tensor.info->type, p.rows, p.cols, data};
}

Matrix WeightStore::matrix(std::string_view name, int64_t rows, int64_t cols) {
  return view(
      place(name, {static_cast<uint64_t>(cols), static_cast<uint64_t>(rows)}, 0, 1, rows, cols));
}

Matrix WeightStore::part(std::string_view name, int64_t n, int64_t first, int64_t rows,
                         int64_t cols) {
  const GgufTensor* tensor = info(name);
  const uint64_t byte =
      tensor == nullptr ? 0 : row_bytes(tensor->type, static_cast<uint64_t>(first));
  return view(place(name, {static_cast<uint64_t>(n)}, byte, 1, rows, cols));
}

MatrixStack WeightStore::stack_at(Place& p) {
  const uint64_t bytes =
      static_cast<uint64_t>(p.rows) * row_bytes(p.tensor.info->type, static_cast<uint64_t>(p.cols));
  return {.first = view(p, !stream_),
          .count = p.count,
          .step = p.step,
          .source = p.tensor.source,
          .file_offset = p.tensor.info->offset + p.first_byte,
          .file_step = bytes,
          .regrouped = p.regroup};
}

MatrixStack WeightStore::stack(std::string_view name, int64_t count, int64_t rows, int64_t cols) {
  return stack_at(place(
      name,
      {static_cast<uint64_t>(cols), static_cast<uint64_t>(rows), static_cast<uint64_t>(count)}, 0,
      count, rows, cols));
}

MatrixStack WeightStore::neurons(std::string_view name, int64_t count, int64_t D, int64_t F) {
  MatrixStack stack = stack_at(place(
      name, {static_cast<uint64_t>(F), static_cast<uint64_t>(D), static_cast<uint64_t>(count)}, 0,
      count, D, F, true));
  std::swap(stack.first.rows, stack.first.cols);
  return stack;
}

MatrixRows WeightStore::rows(std::string_view name, int64_t rows, int64_t cols) {
  Place& p =
      place(name, {static_cast<uint64_t>(cols), static_cast<uint64_t>(rows)}, 0, 1, rows, cols);
  return {view(p, !stream_), p.tensor.source, p.tensor.info->offset};
}

void MatrixRows::read(int64_t row, float* out) const {
  if (matrix) return dequantize_row(matrix, row, out);
  std::vector<std::byte> bytes(matrix.stride());
  source->read_at(offset + static_cast<uint64_t>(row) * matrix.stride(), bytes);
  dequantize_row(matrix.type, bytes.data(), matrix.cols, out);
}

uint64_t WeightStore::streamed_bytes() const {
  uint64_t bytes = 0;
  for (const Place& p : places_) {
    if (p.offset == kNowhere)
      bytes += static_cast<uint64_t>(p.count * p.rows) *
               row_bytes(p.tensor.info->type, static_cast<uint64_t>(p.cols));
  }
  return bytes;
}

const float* WeightStore::vector(std::string_view name, int64_t n) {
  const Matrix m = view(place(name, {static_cast<uint64_t>(n)}, 0, 1, 1, n));
  if (m.type != DType::kF32) {
    fail(ErrorCode::kUnsupported, "tensor '{}': type {}, want F32", name, dtype_name(m.type));
  }
  return reinterpret_cast<const float*>(m.data);
}

// What one thread reads at a time: a run of bytes, of whole blocks, or a whole matrix to regroup.
struct WeightStore::Piece {
  const Place* place;
  int64_t matrix;
  uint64_t begin, bytes;  // within the matrix in the file
};

std::vector<WeightStore::Piece> WeightStore::pieces() const {
  // Split blocks pass through a buffer that should stay in the second-level cache.
  constexpr uint64_t kPlain = uint64_t{4} << 20, kSplitBlocks = 16384;
  std::vector<Piece> pieces;
  for (const Place& p : places_) {
    if (p.offset == kNowhere) continue;
    const DType type = p.tensor.info->type;
    const uint64_t bytes =
        static_cast<uint64_t>(p.rows) * row_bytes(type, static_cast<uint64_t>(p.cols));
    // Matrices that are not rearranged may be read across their borders.
    const bool plain = !is_split(type);
    const int64_t matrices = plain ? 1 : p.count;
    const uint64_t size = plain ? bytes * static_cast<uint64_t>(p.count) : bytes;
    const uint64_t chunk = p.regroup ? size
                           : plain   ? kPlain
                                     : kSplitBlocks * dtype_info(type).block_bytes;
    for (int64_t m = 0; m < matrices; ++m) {
      for (uint64_t begin = 0; begin < size; begin += chunk) {
        pieces.push_back({&p, m, begin, std::min(chunk, size - begin)});
      }
    }
  }
  return pieces;
}

void WeightStore::read(const Piece& piece, std::vector<std::byte>& scratch) const {
  const Place& p = *piece.place;
  const DType type = p.tensor.info->type;
  const auto m = static_cast<uint64_t>(piece.matrix);
  const uint64_t matrix_bytes =
      static_cast<uint64_t>(p.rows) * row_bytes(type, static_cast<uint64_t>(p.cols));
  const uint64_t at = p.tensor.info->offset + p.first_byte + m * matrix_bytes + piece.begin;
  std::byte* out = memory_.data() + p.offset + m * p.step;
  if (!is_split(type)) return p.tensor.source->read_at(at, {out + piece.begin, piece.bytes});
  scratch.resize(std::max<size_t>(scratch.size(), piece.bytes));
  p.tensor.source->read_at(at, {scratch.data(), piece.bytes});
  if (p.regroup) return regroup_by_neuron(type, scratch.data(), p.rows, p.cols, out);
  const uint64_t block = dtype_info(type).block_bytes;
  split_blocks(type, scratch.data(), static_cast<int64_t>(piece.begin / block),
               static_cast<int64_t>(piece.bytes / block), p.rows, p.cols, out);
}

void WeightStore::read_all(ThreadPool& pool, const Progress& progress) {
  const std::vector<Piece> pieces = this->pieces();
  const uint64_t all = bytes_ - streamed_bytes();
  std::atomic<size_t> next{0};
  std::atomic<uint64_t> done{0};
  FirstError error;  // the others stop at their next piece
  pool.run([&](int thread, int) {
    std::vector<std::byte> scratch;
    for (size_t i = next++; i < pieces.size(); i = next++) {
      const Piece& piece = pieces[i];
      const std::string& name = piece.place->tensor.info->name;
      error.guard([&] {
        with_context(fmt::format("tensor '{}'", printable(name)), [&] { read(piece, scratch); });
        done += piece.bytes;
        if (thread == 0 && progress) progress("load", done, all);
      });
    }
  });
  error.rethrow();
  if (progress) progress("load", all, all);
}

}  // namespace st

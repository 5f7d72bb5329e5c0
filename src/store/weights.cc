#include "store/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>

#include "base/aligned.h"
#include "base/error.h"

namespace st {
namespace {

uint64_t align(uint64_t offset) { return (offset + kAlignment - 1) / kAlignment * kAlignment; }

uint64_t room_for_all(const GgufModel& model) {
  uint64_t bytes = 0;
  for (const auto& tensor : model.tensors()) bytes += align(tensor.info->bytes);
  return bytes;
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

WeightStore::WeightStore(const GgufModel& model) : model_(model), memory_(room_for_all(model)) {
  memory_.prefer_huge_pages();
}

const std::byte* WeightStore::place(std::string_view name, DType& type, std::vector<uint64_t> ne) {
  const GgufModel::Tensor tensor = model_.find(name);
  if (!tensor) fail(ErrorCode::kInvalidData, "tensor '{}': missing", name);
  if (!same_shape(*tensor.info, ne)) {
    fail(ErrorCode::kInvalidData, "tensor '{}': shape {}, want {}", name, show(tensor.info->ne),
         show(ne));
  }
  type = tensor.info->type;
  const auto known =
      std::ranges::find_if(places_, [&](const Place& p) { return p.tensor.info == tensor.info; });
  if (known != places_.end()) return memory_.data() + known->offset;
  places_.push_back({tensor, used_});
  bytes_ += tensor.info->bytes;
  used_ += align(tensor.info->bytes);
  return memory_.data() + places_.back().offset;
}

Matrix WeightStore::matrix(std::string_view name, int64_t rows, int64_t cols) {
  Matrix m{DType::kF32, rows, cols, nullptr};
  m.data = place(name, m.type, {static_cast<uint64_t>(cols), static_cast<uint64_t>(rows)});
  return m;
}

MatrixStack WeightStore::stack(std::string_view name, int64_t count, int64_t rows, int64_t cols) {
  MatrixStack s{{DType::kF32, rows, cols, nullptr}, count};
  s.first.data = place(
      name, s.first.type,
      {static_cast<uint64_t>(cols), static_cast<uint64_t>(rows), static_cast<uint64_t>(count)});
  return s;
}

const float* WeightStore::vector(std::string_view name, int64_t n) {
  DType type = DType::kF32;
  const std::byte* data = place(name, type, {static_cast<uint64_t>(n)});
  if (type != DType::kF32) {
    fail(ErrorCode::kUnsupported, "tensor '{}': type {}, want F32", name, dtype_name(type));
  }
  return reinterpret_cast<const float*>(data);
}

void WeightStore::read_all(ThreadPool& pool, const Progress& progress) {
  constexpr uint64_t kChunk = uint64_t{4} << 20;
  struct Chunk {
    const Place* place;
    uint64_t begin, bytes;
  };
  std::vector<Chunk> chunks;
  for (const Place& place : places_) {
    for (uint64_t begin = 0; begin < place.tensor.info->bytes; begin += kChunk) {
      chunks.push_back({&place, begin, std::min(kChunk, place.tensor.info->bytes - begin)});
    }
  }
  std::atomic<size_t> next{0};
  std::atomic<uint64_t> done{0};
  std::mutex mutex;
  std::optional<Error> error;  // the first one; the others stop at their next chunk
  const auto stop_with = [&](const Error& e) {
    const std::lock_guard lock(mutex);
    if (!error) error = e;
    next = chunks.size();
  };
  pool.run([&](int thread, int) {
    for (size_t i = next++; i < chunks.size(); i = next++) {
      const auto& [place, begin, bytes] = chunks[i];
      try {
        place->tensor.source->read_at(place->tensor.info->offset + begin,
                                      {memory_.data() + place->offset + begin, bytes});
        done += bytes;
        if (thread == 0 && progress) progress("load", done, bytes_);
      } catch (const Error& e) {
        return stop_with(e.within(fmt::format("tensor '{}'", printable(place->tensor.info->name))));
      }
    }
  });
  if (error) throw Error(*error);
  if (progress) progress("load", bytes_, bytes_);
}

}  // namespace st

#include "weights/weight_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/aligned.h"
#include "base/checksum.h"
#include "base/error.h"
#include "format/tensor_layer.h"
#include "tensor/layout.h"
#include "tensor/regroup.h"
#include "weights/weight_loader.h"

namespace st {
namespace {

uint64_t align(uint64_t offset) { return (offset + kAlignment - 1) / kAlignment * kAlignment; }

uint64_t room_for_all(const GgufModel& model) {
  uint64_t bytes = 0;
  for (const auto& tensor : model.tensors()) bytes += align(tensor.info->bytes);
  return 2 * bytes;  // addresses, not memory: a regrouped matrix of few columns is padded
}

std::unique_ptr<const File> open_unless_empty(const std::string& path) {
  if (path.empty()) return nullptr;
  return with_context(printable_path(path), [&] { return std::make_unique<const File>(path); });
}

// "tensor 'x'", with the name of its part in front if that is not the first of the model.
std::string show(const GgufModel& model, const GgufModel::Tensor& tensor) {
  std::string text = fmt::format("tensor '{}'", tensor.info->name);
  for (size_t i = 1; i < model.parts().size(); ++i) {
    if (&model.parts()[i]->source() == tensor.source) {
      return fmt::format("{}: {}", model.part_name(i), text);
    }
  }
  return text;
}

std::string show(std::span<const uint64_t> ne) { return fmt::format("[{}]", fmt::join(ne, ",")); }

// Trailing dimensions of 1 do not count: {D, V, 1} is {D, V}.
bool same_shape(const GgufTensor& tensor, const std::vector<uint64_t>& want) {
  for (size_t i = 0; i < std::max(tensor.ne.size(), want.size()); ++i) {
    if (tensor.dim(i) != (i < want.size() ? want[i] : 1)) return false;
  }
  return true;
}

// Of a matrix (rows, cols), and of `count` of them, as files have it.
std::vector<uint64_t> ne_of(int64_t rows, int64_t cols) {
  return {static_cast<uint64_t>(cols), static_cast<uint64_t>(rows)};
}
std::vector<uint64_t> ne_of(int64_t count, int64_t rows, int64_t cols) {
  return {static_cast<uint64_t>(cols), static_cast<uint64_t>(rows), static_cast<uint64_t>(count)};
}

bool all_zeros(std::span<const std::byte> floats) {
  for (size_t i = 0; i < floats.size(); i += sizeof(float)) {
    float x;
    std::memcpy(&x, floats.data() + i, sizeof x);
    if (x != 0) return false;
  }
  return true;
}

Error bad_scale_of(DType type) {
  return {ErrorCode::kInvalidData,
          fmt::format("a scale of its {} blocks is not a finite number", dtype_name(type))};
}

}  // namespace

std::optional<Error> damage(const MatrixStack& stack, int64_t i, std::span<const std::byte> bytes) {
  const auto& sums = stack.file.checksums;
  if (sums.empty() || checksum(bytes) == sums[static_cast<size_t>(i)]) return std::nullopt;
  return Error(ErrorCode::kInvalidData, "damaged: its checksum differs");
}

void arrange(const MatrixStack& stack, const std::byte* bytes, std::byte* out) {
  const Matrix& m = stack.prototype;
  switch (stack.arrangement) {
    case Arrangement::kAsInFile:
      std::memcpy(out, bytes, stack.file.bytes);
      return;
    case Arrangement::kSplit:
      return split_rows(m.type, bytes, 0, m.rows, m.rows, m.cols, out);
    case Arrangement::kByNeuron:
      return regroup_by_neuron(m.type, bytes, m.cols, m.rows, out);
  }
}

std::optional<Error> bad_scale(const MatrixStack& stack, const std::byte* memory) {
  Matrix m = stack.prototype;
  m.data = memory;
  if (!is_split(m.type)) return std::nullopt;
  const bool good = stack.by_neuron ? neuron_scales_are_finite(m) : scales_are_finite(m, 0, m.rows);
  return good ? std::nullopt : std::optional(bad_scale_of(m.type));
}

WeightStore::WeightStore(const GgufModel& model, bool stream, const std::string& expert_file)
    : model_(model),
      stream_(stream),
      expert_file_(open_unless_empty(expert_file)),
      memory_(room_for_all(model) + (expert_file_ ? expert_file_->size() : 0)) {
  memory_.prefer_huge_pages();
}

WeightStore::Place& WeightStore::place(std::string_view name, const std::vector<uint64_t>& ne,
                                       uint64_t first_byte, int64_t count, int64_t rows,
                                       int64_t cols, bool by_neuron) {
  const GgufModel::Tensor tensor = model_.find(name);
  if (!tensor) fail(ErrorCode::kInvalidData, "tensor '{}': missing", name);
  if (!same_shape(*tensor.info, ne)) {
    fail(ErrorCode::kInvalidData, "{}: shape {}, want {}", show(model_, tensor),
         show(tensor.info->ne), show(ne));
  }
  const DType type = tensor.info->type;
  const uint64_t bytes = static_cast<uint64_t>(rows) * row_bytes(type, static_cast<uint64_t>(cols));
  MatrixStack stack = {.prototype = {type, rows, cols, nullptr},
                       .count = count,
                       .step = bytes,
                       .file = {tensor.source, tensor.info->offset + first_byte, bytes, bytes, {}}};
  if (by_neuron) {
    std::swap(stack.prototype.rows, stack.prototype.cols);
    stack.step = align(neuron_rows_bytes(type, rows, cols));
    stack.arrangement = Arrangement::kByNeuron;
    stack.by_neuron = true;
  } else if (is_split(type)) {
    stack.arrangement = Arrangement::kSplit;
  }
  Place& p = place(show(model_, tensor), stack);
  p.layer = layer_of(name);
  return p;
}

WeightStore::Place& WeightStore::place(std::string name, const MatrixStack& stack) {
  const auto known = std::ranges::find_if(places_, [&](const Place& p) {
    return p.stack.file.source == stack.file.source && p.stack.file.offset == stack.file.offset;
  });
  if (known != places_.end()) return *known;
  places_.push_back({std::move(name), stack, kNowhere});
  bytes_ += static_cast<uint64_t>(stack.count) * stack.file.bytes;
  return places_.back();
}

// What is needed in memory, it alone takes room there.
MatrixStack WeightStore::view(Place& p, Use use, bool in_memory) {
  if (in_memory && p.offset == kNowhere) {
    p.offset = used_;
    p.use = use;
    p.stack.unit = static_cast<WeightUnit>(place_of_.size());
    place_of_.resize(place_of_.size() + static_cast<size_t>(p.stack.count),
                     static_cast<size_t>(&p - places_.data()));
    used_ += align(static_cast<uint64_t>(p.stack.count) * p.stack.step);
  }
  if (in_memory && use == Use::kWhole) p.use = use;
  MatrixStack stack = p.stack;
  if (p.offset != kNowhere) stack.prototype.data = memory_.data() + p.offset;
  return stack;
}

Matrix WeightStore::matrix(std::string_view name, int64_t rows, int64_t cols) {
  return view(place(name, ne_of(rows, cols), 0, 1, rows, cols)).prototype;
}

Matrix WeightStore::part(std::string_view name, int64_t n, int64_t first, int64_t rows,
                         int64_t cols) {
  const GgufTensor* tensor = info(name);
  const uint64_t byte =
      tensor == nullptr ? 0 : row_bytes(tensor->type, static_cast<uint64_t>(first));
  return view(place(name, {static_cast<uint64_t>(n)}, byte, 1, rows, cols)).prototype;
}

MatrixStack WeightStore::stack(std::string_view name, int64_t count, int64_t rows, int64_t cols) {
  return view(place(name, ne_of(count, rows, cols), 0, count, rows, cols), Use::kExperts, !stream_);
}

MatrixStack WeightStore::matrices(std::string_view name, int64_t count, int64_t rows,
                                  int64_t cols) {
  return view(place(name, ne_of(count, rows, cols), 0, count, rows, cols));
}

MatrixStack WeightStore::neurons(std::string_view name, int64_t count, int64_t D, int64_t F) {
  return view(place(name, ne_of(count, D, F), 0, count, D, F, true), Use::kExperts, !stream_);
}

MatrixStack WeightStore::stack(std::string name, const MatrixStack& wanted,
                               std::vector<uint64_t> checksums) {
  Place& p = place(std::move(name), wanted);
  if (!checksums.empty()) p.stack.file.checksums = checksums_.emplace_back(std::move(checksums));
  return view(p, Use::kExperts, !stream_);
}

MatrixRows WeightStore::rows(std::string_view name, int64_t rows, int64_t cols) {
  Place& p = place(name, ne_of(rows, cols), 0, 1, rows, cols);
  const MatrixStack table = view(p, Use::kRows, !stream_);
  return {table.prototype, p.name, table.file.source, table.file.offset, table.unit};
}

MatrixRows WeightStore::rows_in_file(std::string_view name, int64_t rows, int64_t cols) {
  Place& p = place(name, ne_of(rows, cols), 0, 1, rows, cols);
  return {p.stack.prototype, p.name, p.stack.file.source, p.stack.file.offset};
}

void WeightStore::check_files() const {
  model_.check_unchanged();
  if (expert_file_) expert_file_->check_unchanged();
}

bool WeightStore::all_of(DType type) const {
  return std::ranges::all_of(places_,
                             [&](const Place& p) { return p.stack.prototype.type == type; });
}

std::map<const std::byte*, std::string> WeightStore::tensors_in_memory() const {
  std::map<std::pair<const ByteSource*, uint64_t>, const std::string*> in_file;
  for (const auto& [info, source] : model_.tensors()) in_file[{source, info->offset}] = &info->name;
  std::map<const std::byte*, std::string> names;
  for (const Place& p : places_) {
    const auto found = in_file.find({p.stack.file.source, p.stack.file.offset});
    if (p.offset == kNowhere || found == in_file.end()) continue;
    names[memory_.data() + p.offset] = *found->second;
  }
  return names;
}

uint64_t WeightStore::streamed_bytes() const {
  uint64_t bytes = 0;
  for (const Place& p : places_) {
    if (p.offset == kNowhere) bytes += static_cast<uint64_t>(p.stack.count) * p.stack.file.bytes;
  }
  return bytes;
}

uint64_t WeightStore::memory_bytes() const {
  constexpr uint64_t kHugePage = uint64_t{2} << 20;
  return std::min((used_ + kHugePage - 1) / kHugePage * kHugePage, memory_.size());
}

WeightStore::Place& WeightStore::vector_place(std::string_view name, int64_t n) {
  Place& p = place(name, {static_cast<uint64_t>(n)}, 0, 1, 1, n);
  if (const DType type = p.stack.prototype.type; type != DType::kF32) {
    fail(ErrorCode::kUnsupported, "tensor '{}': type {}, want F32", name, dtype_name(type));
  }
  return p;
}

const float* WeightStore::vector(std::string_view name, int64_t n) {
  return reinterpret_cast<const float*>(view(vector_place(name, n)).prototype.data);
}

const float* WeightStore::norm(std::string_view name, int64_t n) {
  vector_place(name, n).never_zero = true;
  return vector(name, n);
}

std::vector<WeightStore::Request> WeightStore::requests() const {
  std::vector<Request> requests;
  for (size_t unit = 0; unit < place_of_.size();) {
    const Place& p = places_[place_of_[unit]];
    requests.push_back({p.stack.unit, p.stack.count, p.use, p.layer});
    unit += static_cast<size_t>(p.stack.count);
  }
  return requests;
}

std::vector<WeightStore::Piece> WeightStore::pieces() const {
  // Split rows pass through a buffer that should stay in the second-level cache.
  constexpr uint64_t kPlain = uint64_t{4} << 20, kSplitRows = uint64_t{256} << 10;
  std::vector<Piece> pieces;
  for (size_t unit = 0; unit < place_of_.size(); ++unit) {
    const Place& p = places_[place_of_[unit]];
    const uint64_t size = p.stack.file.bytes, row = p.stack.prototype.stride();
    uint64_t chunk = size;
    if (p.stack.arrangement == Arrangement::kSplit) {
      chunk = std::max(kSplitRows / row, uint64_t{1}) * row;
    } else if (p.stack.arrangement == Arrangement::kAsInFile && p.stack.file.checksums.empty() &&
               !p.never_zero) {
      chunk = kPlain;
    }
    for (uint64_t begin = 0; begin < size; begin += chunk) {
      pieces.push_back({static_cast<WeightUnit>(unit), begin, std::min(chunk, size - begin)});
    }
  }
  return pieces;
}

void WeightStore::will_read(const Piece& piece, uint64_t bytes) const {
  const MatrixStack& s = places_[place_of_[static_cast<size_t>(piece.unit)]].stack;
  const auto matrix = static_cast<uint64_t>(piece.unit - s.unit);
  s.file.source->will_read(s.file.offset + matrix * s.file.step + piece.begin,
                           std::min(bytes, s.file.bytes - piece.begin));
}

void WeightStore::read(const Piece& piece, std::vector<std::byte>& scratch) const {
  const Place& p = places_[place_of_[static_cast<size_t>(piece.unit)]];
  with_context(p.name, [&] { read(p, piece.unit - p.stack.unit, piece, scratch); });
}

void WeightStore::read(const Place& place, int64_t matrix, const Piece& piece,
                       std::vector<std::byte>& scratch) const {
  const MatrixStack& s = place.stack;
  const auto m = static_cast<uint64_t>(matrix);
  const uint64_t at = s.file.offset + m * s.file.step + piece.begin;
  std::byte* out = memory_.data() + place.offset + m * s.step;
  const auto refuse = [&](const std::optional<Error>& error, std::string_view one) {
    if (error) throw s.count == 1 ? *error : error->within(fmt::format("{} {}", one, m));
  };
  if (s.arrangement == Arrangement::kAsInFile) {
    const std::span<std::byte> bytes(out + piece.begin, piece.bytes);
    s.file.source->read_at(at, bytes);
    if (place.never_zero && all_zeros(bytes)) {
      fail(ErrorCode::kInvalidData, "nothing but zeros; incomplete download?");
    }
    if (s.file.checksums.empty()) return;
    refuse(damage(s, matrix, bytes), "expert");
    return refuse(bad_scale(s, out), "expert");
  }
  scratch.resize(std::max<size_t>(scratch.size(), piece.bytes));
  s.file.source->read_at(at, {scratch.data(), piece.bytes});
  if (s.arrangement == Arrangement::kByNeuron) {
    arrange(s, scratch.data(), out);
    return refuse(bad_scale(s, out), "matrix");
  }
  Matrix shape = s.prototype;
  shape.data = out;
  const auto row = static_cast<int64_t>(shape.stride());
  const auto first = static_cast<int64_t>(piece.begin) / row;
  const auto count = static_cast<int64_t>(piece.bytes) / row;
  split_rows(shape.type, scratch.data(), first, count, shape.rows, shape.cols, out);
  if (!scales_are_finite(shape, first, count)) refuse(bad_scale_of(shape.type), "matrix");
}

void WeightStore::read_all(int threads, const Progress& progress, const Stop& stop) const {
  WeightLoader(*this, threads - 1).await_all(progress, stop);
}

}  // namespace st

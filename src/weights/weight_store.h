// Weights of a model in memory.
//
// Loading has two steps. First the model asks for every tensor it needs, with the shape it must
// have; each request is checked against the file and given its place in memory. Then a WeightLoader
// fills the places, in parallel, and brings each matrix into the layout that kernels read (see
// Matrix and NeuronRows) on the way: nothing is held twice. So a wrong file is refused before
// anything large is read.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/memory.h"
#include "base/stop.h"
#include "format/gguf_model.h"
#include "tensor/matrix.h"

namespace st {

// How the bytes of a file become the layout of memory.
enum class Arrangement : uint8_t {
  kAsInFile,  // they have it
  kSplit,     // split_rows()
  kByNeuron,  // regroup_by_neuron(): down matrices (D, F) become (F, D) for neuron_rows()
};

// Where matrices of the same size are in a file.
struct FilePlace {
  const ByteSource* source = nullptr;
  uint64_t offset = 0;                  // of the first
  uint64_t step = 0;                    // bytes from one to the next
  uint64_t bytes = 0;                   // of one
  std::span<const uint64_t> checksums;  // (count) of the bytes of each; empty: none
};

// What can be brought to memory, and waited for, by itself: a matrix or a vector of a WeightStore.
using WeightUnit = int32_t;

// A stack of `count` matrices of the same type and shape, `step` bytes apart in memory.
struct MatrixStack {
  Matrix prototype;  // the first one, without data where the file is their only place
  int64_t count = 0;
  uint64_t step = 0;
  FilePlace file;
  Arrangement arrangement = Arrangement::kAsInFile;
  bool by_neuron = false;  // in memory they are for neuron_rows()
  WeightUnit unit = -1;    // of the first one, if they are in memory

  explicit operator bool() const { return static_cast<bool>(prototype); }
  Matrix operator[](int64_t i) const {
    Matrix m = prototype;
    m.data += static_cast<uint64_t>(i) * step;
    return m;
  }
};

// What is wrong with matrix i as it was read, `bytes` (file.bytes): its checksum, if it has one.
std::optional<Error> damage(const MatrixStack& stack, int64_t i, std::span<const std::byte> bytes);
// From there to the layout of memory. out: (step)
void arrange(const MatrixStack& stack, const std::byte* bytes, std::byte* out);
// What is wrong with a matrix in that layout: a scale that is infinite or no number.
std::optional<Error> bad_scale(const MatrixStack& stack, const std::byte* memory);

// A matrix of which only single rows are needed, in memory or in the file: see RowReader.
struct MatrixRows {
  Matrix matrix;     // without data if in the file
  std::string name;  // for messages
  const ByteSource* source = nullptr;
  uint64_t offset = 0;
  WeightUnit unit = -1;  // if in memory
};

class WeightStore {
 public:
  // `stream`: stacks, which are experts, and rows() stay in the file. `expert_file`: the path
  // of a headerless bundle that has them; empty: they are in the model.
  explicit WeightStore(const GgufModel& model, bool stream = false,
                       const std::string& expert_file = {});

  // Requests. The returned views point to memory that is valid as long as the store and holds the
  // weights once they have been read. Asking twice for a tensor gives the same place. Throws
  // Error(kInvalidData) when the tensor is missing or shaped otherwise.
  Matrix matrix(std::string_view name, int64_t rows, int64_t cols);
  MatrixStack stack(std::string_view name, int64_t count, int64_t rows, int64_t cols);
  // A stack that is no experts': in memory.
  MatrixStack matrices(std::string_view name, int64_t count, int64_t rows, int64_t cols);
  const float* vector(std::string_view name, int64_t n);  // must be F32
  // A vector that is never all zeros: reading it refuses one that is.
  const float* norm(std::string_view name, int64_t n);
  MatrixRows rows(std::string_view name, int64_t rows, int64_t cols);
  // Those of a table that always stays in the file.
  MatrixRows rows_in_file(std::string_view name, int64_t rows, int64_t cols);
  // Part of a flat tensor of n values: the matrix that begins at value `first`. REQUIRES: it begins
  // and ends within the tensor, at block boundaries.
  Matrix part(std::string_view name, int64_t n, int64_t first, int64_t rows, int64_t cols);
  // Down matrices (D, F) to be regrouped by neuron: matrices (F, D) for neuron_rows(). REQUIRES:
  // can_regroup(type, D, F).
  MatrixStack neurons(std::string_view name, int64_t count, int64_t D, int64_t F);

  // Matrices that are no tensors of their own. `wanted` says what and where they are in a file that
  // lives as long as the store; checksums are kept here.
  MatrixStack stack(std::string name, const MatrixStack& wanted,
                    std::vector<uint64_t> checksums = {});

  const GgufModel& model() const { return model_; }
  const File* expert_file() const { return expert_file_.get(); }
  bool has(std::string_view name) const { return static_cast<bool>(model_.find(name)); }
  const GgufTensor* info(std::string_view name) const { return model_.find(name).info; }

  // Names of the tensors that are in memory, by where they are.
  std::map<const std::byte*, std::string> tensors_in_memory() const;

  // Fills all places, with so many threads. Throws what WeightLoader::await_all() throws.
  void read_all(int threads, const Progress& progress, const Stop& stop = Stop::never()) const;

  // Throws Error(kIo) if a file was written to since it was opened, before its first byte was read:
  // then nothing that came from it is sure.
  void check_files() const;

  // Whether all requested tensors are of this type.
  bool all_of(DType type) const;

  // Bytes of all requested tensors, and of those that stay in the file.
  uint64_t bytes() const { return bytes_; }
  uint64_t streamed_bytes() const;
  // Memory for what does not stay there, in whole pages of any size.
  uint64_t memory_bytes() const;

  // ---- For a WeightLoader ----

  enum class Use : uint8_t {
    kWhole,
    kRows,     // of which only rows are needed
    kExperts,  // of stack() and neurons()
  };
  // A request that is in memory: units `first` and those after it, one for each matrix.
  struct Request {
    WeightUnit first;
    int64_t count;
    Use use;
    std::optional<int64_t> layer;  // as its name says; of experts nothing
  };
  std::vector<Request> requests() const;  // in their order, which is that of units

  // What is read at a time: a run of bytes, of whole rows, or a whole matrix.
  struct Piece {
    WeightUnit unit;
    uint64_t begin, bytes;  // within the matrix in the file
  };
  std::vector<Piece> pieces() const;  // those of a unit beside each other, units in order

  // Has the device begin with a piece and those after it of the same unit, `bytes` together.
  void will_read(const Piece& piece, uint64_t bytes) const;
  // Reads a piece to its place. Throws Error(kIo), and Error(kInvalidData) for a scale of a
  // quantised type that is not a finite number, a checksum that differs, a norm of nothing but
  // zeros: a download that was cut may leave a file of the full size whose end was never written.
  // Any thread; `scratch` is the caller's.
  void read(const Piece& piece, std::vector<std::byte>& scratch) const;

 private:
  static constexpr uint64_t kNowhere = UINT64_MAX;

  struct Place {
    std::string name;   // for messages
    MatrixStack stack;  // without a place in memory
    uint64_t offset;    // into memory_; kNowhere: stays in the file
    Use use = Use::kWhole;
    std::optional<int64_t> layer = {};
    bool never_zero = false;  // a norm
  };
  // `count` matrices (rows, cols) from `first_byte` of the tensor on.
  Place& place(std::string_view name, const std::vector<uint64_t>& ne, uint64_t first_byte,
               int64_t count, int64_t rows, int64_t cols, bool by_neuron = false);
  Place& place(std::string name, const MatrixStack& stack);
  MatrixStack view(Place& place, Use use = Use::kWhole, bool in_memory = true);
  Place& vector_place(std::string_view name, int64_t n);
  void read(const Place& place, int64_t matrix, const Piece& piece,
            std::vector<std::byte>& scratch) const;

  const GgufModel& model_;
  const bool stream_;
  const std::unique_ptr<const File> expert_file_;
  MemoryRegion memory_;  // room for every tensor of the file; only requested ones are touched
  std::vector<Place> places_;
  std::vector<size_t> place_of_;                 // (units) in places_
  std::deque<std::vector<uint64_t>> checksums_;  // a deque: spans stay valid
  uint64_t bytes_ = 0;
  uint64_t used_ = 0;
};

}  // namespace st

// Importance of the columns of matrices ("imatrix"), as llama.cpp keeps it in a GGUF file: for each
// tensor NAME sums of squares of what its matrices were multiplied with, NAME.in_sum2 (cols,
// matrices), and how many rows those sums are of, NAME.counts (1, matrices).
//
// A down matrix that lies by neuron has its columns' importance as that of its rows: within a row
// all weights are alike, and nothing can be made of it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/gguf_model.h"

namespace st {

struct ImportanceSums {
  std::vector<double> squares;  // (matrices, cols)
  std::vector<int64_t> counts;  // (matrices)
};

// What the importance was computed from.
struct ImatrixSource {
  std::vector<std::string> datasets;  // names of texts
  uint32_t chunks = 0;                // that were evaluated,
  uint32_t chunk_size = 0;            // tokens each
};

// By tensor. Throws Error(kIo).
void write_imatrix(const std::string& path, const ImatrixSource& source,
                   const std::map<std::string, ImportanceSums>& sums);

// Reads one tensor's at a time.
class ImatrixFile {
 public:
  // Throws Error(kNotFound | kInvalidData | kUnsupported) where it is no such file, or one of its
  // tensors is not as above; "NAME.in_sum", which has the plain sums, may be there too. Errors
  // carry the path.
  explicit ImatrixFile(const std::string& path);
  // `name`: for messages.
  ImatrixFile(GgufModel file, std::string name);

  const ImatrixSource& source() const { return source_; }
  std::vector<std::string> tensors() const;  // that it has importance of

  // Mean of squares for each column: (matrices, cols). All 1 for a matrix that no row was
  // multiplied with, as of an expert that was never chosen. Nothing for a tensor that the file does
  // not have. Throws Error(kInvalidData) if it is of another shape, or sums or counts are negative
  // or not finite.
  std::optional<std::vector<float>> find(const std::string& tensor, uint64_t cols,
                                         uint64_t matrices) const;

 private:
  struct Place {
    GgufModel::Tensor squares, counts;
  };
  void add(const GgufModel::Tensor& tensor);
  std::vector<float> read(const GgufModel::Tensor& tensor) const;

  const std::string name_;  // of the file, for messages
  const GgufModel file_;
  ImatrixSource source_;
  std::map<std::string, Place> places_;
};

}  // namespace st

// What an importance matrix says about the matrices of one model.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "convert/encode.h"
#include "convert/imatrix.h"
#include "format/gguf_model.h"

namespace st {

class ColumnImportance {
 public:
  // path: see QuantizeOptions::imatrix.
  ColumnImportance(const std::string& path, const GgufFile& model);

  // Of the rows of a matrix that is encoded; null without an importance matrix, if it does not say,
  // or if the rows are neurons, within which all columns are alike. Throws Error(kInvalidData) for
  // what has another shape.
  RowImportance rows_of(const GgufTensor& tensor);

  // quantize.imatrix.*
  void set_metadata(GgufWriter& out) const;
  // After all matrices: what did not fit together.
  std::vector<std::string> notices() const;

 private:
  std::string path_;
  bool down_transposed_;
  std::optional<ImatrixFile> file_;
  size_t used_ = 0;                   // of the file's tensors
  std::vector<std::string> missing_;  // matrices that it does not have
};

}  // namespace st

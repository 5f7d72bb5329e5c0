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
  // path: see QuantizeOptions::imatrix. The model outlives this.
  ColumnImportance(const std::string& path, const GgufModel& model);

  // Of the rows of a matrix that is encoded; null without an importance matrix, if it does not say,
  // or if the rows are neurons, within which all columns are alike. Throws Error(kInvalidData) for
  // what has another shape.
  RowImportance rows_of(const GgufTensor& tensor);

  // quantize.imatrix.*
  void set_metadata(GgufWriter& out) const;
  // After all matrices: what did not fit together.
  std::vector<std::string> notices() const;

 private:
  bool rows_are_neurons(const GgufTensor& tensor) const;

  std::string path_;
  const GgufModel& model_;
  std::optional<ImatrixFile> file_;
  std::vector<std::string> missing_;  // matrices that it does not have
};

}  // namespace st

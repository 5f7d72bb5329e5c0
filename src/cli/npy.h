#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/file.h"

namespace st {

// A float32 NumPy array (rows, cols), format version 1.0, that is written as its rows come; the
// file appears with commit(). Throws Error(kIo).
class NpyFile {
 public:
  NpyFile(const std::string& path, int64_t rows, int64_t cols);

  void append(std::span<const float> values) { file_.write(std::as_bytes(values)); }
  void commit() { file_.commit(); }

 private:
  AtomicFile file_;
};

}  // namespace st

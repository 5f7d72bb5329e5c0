#include "cli/npy.h"

#include "base/error.h"

namespace st {

NpyFile::NpyFile(const std::string& path, int64_t rows, int64_t cols) : file_(path) {
  // Magic, version, then a Python dict padded with spaces so that the data is 64-byte aligned.
  constexpr size_t kPreamble = 10;
  std::string header =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, cols);
  header.resize((kPreamble + header.size() + 1 + 63) / 64 * 64 - kPreamble - 1, ' ');
  header += '\n';
  std::string preamble("\x93NUMPY\x01\x00", 8);
  preamble += static_cast<char>(header.size() & 0xFF);
  preamble += static_cast<char>(header.size() >> 8);

  file_.write(std::as_bytes(std::span(preamble)));
  file_.write(std::as_bytes(std::span(header)));
}

}  // namespace st

// quant_rows quantize|dequantize TYPE: one row of float32 in and blocks out, or the reverse, raw on
// standard input and output.
// quant_rows weighted TYPE COLS: the importance of COLS columns and then rows of so many in.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "tensor/quantize.h"

namespace {

std::vector<std::byte> read_all() {
  std::vector<std::byte> bytes;
  std::byte chunk[65536];
  while (const size_t n = std::fread(chunk, 1, sizeof chunk, stdin)) {
    bytes.insert(bytes.end(), chunk, chunk + n);
  }
  return bytes;
}

int write_all(const void* data, size_t size) {
  return std::fwrite(data, 1, size, stdout) == size && std::fflush(stdout) == 0 ? 0 : 1;
}

int usage(const char* why) {
  std::fprintf(stderr,
               "quant_rows: %s\nusage: quant_rows quantize|dequantize TYPE\n"
               "       quant_rows weighted TYPE COLS\n",
               why);
  return 2;
}

// Rows of `cols`, which follow their importance.
std::vector<std::byte> quantize_weighted(st::DType type, const std::vector<std::byte>& in,
                                         size_t cols) {
  std::vector<float> x(in.size() / sizeof(float));
  std::memcpy(x.data(), in.data(), in.size());
  const size_t rows = x.size() / cols - 1;
  const uint64_t stride = st::row_bytes(type, cols);
  std::vector<std::byte> out(rows * stride);
  for (size_t r = 0; r < rows; ++r) {
    st::quantize_row(type, x.data() + (r + 1) * cols, static_cast<int64_t>(cols),
                     out.data() + r * stride, x.data());
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) return usage("two or three arguments expected");
  const std::string_view mode = argv[1];
  const auto type = st::parse_dtype(argv[2]);
  if (!type) return usage("unknown type");
  const st::DTypeInfo& info = st::dtype_info(*type);
  const std::vector<std::byte> in = read_all();

  if (mode == "quantize" && st::can_quantize(*type)) {
    const size_t n = in.size() / sizeof(float);
    if (in.size() % sizeof(float) || n % info.block_values) return usage("not whole blocks");
    std::vector<float> x(n);
    if (n) std::memcpy(x.data(), in.data(), in.size());
    std::vector<std::byte> out(st::row_bytes(info, n));
    st::quantize_row(*type, x.data(), static_cast<int64_t>(n), out.data());
    return write_all(out.data(), out.size());
  }
  if (mode == "weighted" && argc == 4) {
    const auto cols = static_cast<size_t>(std::atoll(argv[3]));
    if (cols == 0 || cols % info.block_values || in.size() % (cols * sizeof(float)) || in.empty())
      return usage("not whole rows");
    const std::vector<std::byte> out = quantize_weighted(*type, in, cols);
    return write_all(out.data(), out.size());
  }
  if (mode == "dequantize") {
    if (in.size() % info.block_bytes) return usage("not whole blocks");
    std::vector<float> y(in.size() / info.block_bytes * info.block_values);
    st::dequantize_row(*type, in.data(), static_cast<int64_t>(y.size()), y.data());
    return write_all(y.data(), y.size() * sizeof(float));
  }
  return usage("unknown mode, or a type that is only read");
}

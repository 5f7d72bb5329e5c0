// count_kernels TABLE KERNEL TYPE ROWS TOKENS COLS REPEATS: calls a kernel so often, and nothing
// else that depends on REPEATS. For bench/count-arm, which counts the instructions of one call.
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kernels/kernels.h"

namespace {

struct Shape {
  int64_t rows, tokens, cols;
};

void call(const st::KernelTable& k, std::string_view kernel, std::string_view type,
          const Shape& shape, int repeats) {
  const auto [rows, tokens, cols] = shape;
  const int64_t padded = (cols + 127) / 128 * 128, blocks = cols / 32;
  const int64_t lanes = (tokens + 15) / 16 * 16 * padded;
  const std::vector<uint8_t> quants(static_cast<size_t>(rows * cols), 0x5A);
  const std::vector<uint16_t> scales(static_cast<size_t>(rows * padded), 0x2C00);
  std::vector<int8_t> q(static_cast<size_t>(lanes), 3);
  std::vector<float> d(static_cast<size_t>(lanes), 0.5f),
      y(static_cast<size_t>((rows + cols) * tokens));
  std::vector<int32_t> sum(static_cast<size_t>(lanes), 96), index(static_cast<size_t>(rows));
  std::iota(index.begin(), index.end(), 0);
  const st::QuantRows w = {quants.data(), reinterpret_cast<const uint8_t*>(scales.data())};
  const st::NeuronRows neurons = {quants.data(), scales.data()};
  const st::Q8Rows x = {q.data(), d.data(), sum.data(), sum.data()};
  const st::Q8Tiles tiles = {q.data(), d.data(), sum.data(), sum.data()};
  std::vector<uint8_t> unpacked(static_cast<size_t>(st::kUnpackedRows * padded), 7);
  std::vector<float> scale(
      static_cast<size_t>(st::kUnpackedNumbers * st::kUnpackedRows * blocks + 4), 0.5f);
  std::vector<float> base = scale;
  const st::UnpackedRows u = {unpacked.data(), scale.data(), base.data()};
  const std::vector<float> h(static_cast<size_t>(rows), 0.25f);

  const st::WeightFormat& format = k.format(st::parse_dtype(type).value());
  const bool there = kernel == "sum_rows" || kernel == "sum_columns" ? format.sum_rows != nullptr
                     : kernel == "gemv"                              ? format.gemv != nullptr
                                                                     : format.gemm != nullptr;
  if (!there) st::fail(st::ErrorCode::kInvalidUsage, "{} has no such kernel", k.name);
  for (int i = 0; i < repeats; ++i) {
    if (kernel == "gemv") {
      format.gemv(w, nullptr, rows, x, tokens, cols, y.data(), rows);
    } else if (kernel == "gemm") {  // rows <= kUnpackedRows
      format.gemm(u, rows, tiles, tokens, cols, y.data(), rows);
    } else if (kernel == "unpack") {
      format.unpack(w, rows, cols, u);
    } else if (kernel == "sum_rows") {
      format.sum_rows(w, index.data(), h.data(), rows, cols, 0, cols, false, y.data());
    } else if (kernel == "sum_columns") {
      format.sum_columns(neurons, rows, x, tokens, cols, 0, cols, y.data(), cols);
    } else {
      st::fail(st::ErrorCode::kInvalidUsage, "no kernel called {}", kernel);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 8) {
    std::fprintf(stderr, "usage: count_kernels TABLE KERNEL TYPE ROWS TOKENS COLS REPEATS\n");
    return 2;
  }
  try {
    call(st::pick_kernels(argv[1]), argv[2], argv[3],
         {std::atoll(argv[4]), std::atoll(argv[5]), std::atoll(argv[6])}, std::atoi(argv[7]));
  } catch (const st::Error& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 1;
  }
  return 0;
}

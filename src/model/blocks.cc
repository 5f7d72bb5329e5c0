#include "model/blocks.h"

#include <vector>

#include "tensor/quantize.h"

namespace st {

void embed(Step& s, float* x) {
  if (s.embedding != nullptr) {
    std::vector<int32_t> tokens;
    for (const BatchItem& item : s.batch) tokens.push_back(item.token);
    return s.embedding->read(tokens, x, s.stop);
  }
  for (int64_t t = 0; t < s.tokens(); ++t) {
    dequantize_row(s.weights.embedding.matrix, s.batch[static_cast<size_t>(t)].token,
                   x + t * s.config.hidden);
  }
}

void norm(Step& s, const float* x, const float* weight, float* out) {
  const int64_t D = s.config.hidden;
  s.pool.parallel_for(s.tokens(), 4, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      s.kernels.rms_norm(x + t * D, weight, s.config.rms_eps, D, out + t * D);
    }
  });
}

void add(Step& s, const float* y, float* x) {
  const int64_t D = s.config.hidden;
  s.pool.parallel_for(s.tokens(), 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * D; i < end * D; ++i) x[i] += y[i];
  });
}

void project(Step& s, std::span<const float> x, int64_t rows,
             std::initializer_list<Projection> projections) {
  s.stop.check();
  linear(s.kernels, s.pool, x, rows, projections, s.state.q8);
  for (const Projection& p : projections) {
    s.state.stats.weight_bytes += p.w.bytes();
    s.state.stats.multiply_adds += static_cast<uint64_t>(rows * p.w.rows * p.w.cols);
    if (s.input_observer == nullptr) continue;
    s.input_observer->projected(p.w, x.first(static_cast<size_t>(rows * p.w.cols)));
  }
}

}  // namespace st

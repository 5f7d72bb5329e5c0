// y = W x for weights in floating point, over the vector vocabulary of the including file.
//
// Each output owns one accumulator vector, fed in column order and reduced once at the end, so its
// bits depend on `cols` alone. Tiles only decide how often a loaded weight or activation is reused.

namespace st {
namespace {

// Rows are the outer loop: weights stream past once while the activations stay in cache.
template <int kRows, typename Gemm>
void gemm_band(const Gemm& gemm, int64_t r, int64_t tokens) {
  int64_t t = 0;
  for (; t + Gemm::kTokens <= tokens; t += Gemm::kTokens) {
    gemm.template tile<kRows, Gemm::kTokens>(r, t);
  }
  for (; t < tokens; ++t) gemm.template tile<kRows, 1>(r, t);
}

template <typename Gemm>
void gemm_all(const Gemm& gemm, int64_t rows, int64_t tokens) {
  int64_t r = 0;
  for (; r + Gemm::kRows <= rows; r += Gemm::kRows) gemm_band<Gemm::kRows>(gemm, r, tokens);
  for (; r < rows; ++r) gemm_band<1>(gemm, r, tokens);
}

template <int R, int T>
ST_INLINE void clear(VecF (&sums)[R][T]) {
  for (int r = 0; r < R; ++r) {
    for (int t = 0; t < T; ++t) sums[r][t] = VecF{};
  }
}

// Asks for `bytes` of weights at p. Rows of a tile are read side by side, which hides from the
// hardware that tiles follow each other in memory; so every step of a tile fetches its share of the
// next one.
ST_INLINE void prefetch(const char* p, int bytes) {
  for (int i = 0; i < bytes; i += 64) __builtin_prefetch(p + i);
}

// W: how a weight type loads: W::Value, W::load(p, n).
template <typename W>
struct FloatGemm {
  static constexpr int kRows = kTune.float_tile_rows;
  static constexpr int kTokens = kTune.float_tile_tokens;

  const typename W::Value* w;  // (rows, cols)
  const float* x;              // (tokens, cols)
  int64_t cols;
  float* y;  // (tokens, y_stride)
  int64_t y_stride;

  template <int R, int T>
  void tile(int64_t r0, int64_t t0) const {
    constexpr int kStepBytes = R * kLanes * sizeof(typename W::Value);
    const char* next_tile = reinterpret_cast<const char*>(w + (r0 + R) * cols);
    VecF sums[R][T];
    clear(sums);
    int64_t c = 0;
    for (; c + kLanes <= cols; c += kLanes, next_tile += kStepBytes) {
      if (t0 == 0) prefetch(next_tile, kStepBytes);
      step(r0, t0, c, kLanes, sums);
    }
    if (c < cols) step(r0, t0, c, cols - c, sums);
    for (int t = 0; t < T; ++t) {
      for (int r = 0; r < R; ++r) y[(t0 + t) * y_stride + r0 + r] = sum(sums[r][t]);
    }
  }

  // Columns c .. c + n of a tile; n <= kLanes.
  template <int R, int T>
  ST_INLINE void step(int64_t r0, int64_t t0, int64_t c, int64_t n, VecF (&sums)[R][T]) const {
    VecF xs[T];
    for (int t = 0; t < T; ++t) xs[t] = load(x + (t0 + t) * cols + c, n);
    for (int r = 0; r < R; ++r) {
      const VecF ws = W::load(w + (r0 + r) * cols + c, n);
      for (int t = 0; t < T; ++t) sums[r][t] = fma(ws, xs[t], sums[r][t]);
    }
  }
};

template <typename W>
void gemm_float(const std::byte* w, int64_t rows, const float* x, int64_t tokens, int64_t cols,
                float* y, int64_t y_stride) {
  const auto* values = reinterpret_cast<const typename W::Value*>(w);
  gemm_all(FloatGemm<W>{values, x, cols, y, y_stride}, rows, tokens);
}

}  // namespace
}  // namespace st

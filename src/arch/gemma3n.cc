// Gemma 3n, text: a dense decoder with A residual streams of which one is active (AltUp), a path of
// low rank beside attention (LAuReL), embeddings for each layer, keys and values that later layers
// share, and gates that count only where they stand out. Notation of the published code; tensors as
// llama.cpp names them.
#include "arch/gemma3n.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "arch/names.h"
#include "base/error.h"
#include "model/attention.h"
#include "model/blocks.h"
#include "model/expert_ffn.h"
#include "model/router.h"
#include "tensor/quantize.h"

namespace st {
namespace gemma3n {
namespace {

struct Layer {
  const float* router_norm;    // (D)
  Matrix router;               // (A, D)
  Matrix predict;              // (A * A, A)
  Matrix correct;              // (A, A)
  const float* correct_scale;  // (D)

  const float *attn_norm, *post_attn_norm, *ffn_norm, *post_ffn_norm;  // (D)
  AttentionWeights attention;
  Matrix laurel_left;             // (R, D)
  Matrix laurel_right;            // (D, R)
  const float* post_laurel_norm;  // (D)

  Matrix input_gate;             // (P, D)
  Matrix input_projection;       // (D, P)
  const float* post_input_norm;  // (D)
};

// Before and after the layers.
struct Ends {
  MatrixStack to_streams;       // A - 1 of (D, D)
  MatrixStack from_streams;     // A - 1 of (D, D)
  Matrix per_layer_projection;  // (L * P, D)
  const float* per_layer_norm;  // (P)
};

constexpr double kLeastMeanSquare = 1e-5;  // of what is brought to a size
// The coefficients of AltUp are clipped to this: the value of all published models, which files do
// not say.
constexpr float kMostCoefficient = 120;

double mean_square(const float* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += double{x[i]} * x[i];
  return sum / static_cast<double>(n);
}

template <typename Body>
void each_token(Step& s, const Body& body) {
  const auto some = [&](int64_t t, int64_t end) {
    for (; t < end; ++t) body(t);
  };
  s.pool.parallel_for(s.tokens(), 1, some, 8 * s.tokens() * s.config.hidden);
}

// x: (T, D)
void scale(Step& s, double by, float* x) {
  const int64_t D = s.config.hidden;
  each_token(s, [&](int64_t t) {
    for (int64_t i = t * D; i < (t + 1) * D; ++i) x[i] *= static_cast<float>(by);
  });
}

// z[t] *= rms(like[t]) / rms(z[t]).  z, like: (T, D)
void match_size(Step& s, const float* like, float* z) {
  const int64_t D = s.config.hidden;
  each_token(s, [&](int64_t t) {
    const double size = std::max(mean_square(z + t * D, D), kLeastMeanSquare);
    const auto factor = static_cast<float>(std::sqrt(mean_square(like + t * D, D) / size));
    for (int64_t i = t * D; i < (t + 1) * D; ++i) z[i] *= factor;
  });
}

// What a layer makes coefficients of modalities with, clipped.  (rows, A)
std::vector<float> clipped(const Matrix& w) {
  std::vector<float> values(static_cast<size_t>(w.rows * w.cols));
  for (int64_t r = 0; r < w.rows; ++r) dequantize_row(w, r, values.data() + r * w.cols);
  for (float& v : values) v = std::clamp(v, -kMostCoefficient, kMostCoefficient);
  return values;
}

class Gemma3n final : public Decoder {
 public:
  Gemma3n(Weights weights, const Shape& shape, const Ends& ends, std::vector<Layer> layers)
      : Decoder(std::move(weights)),
        A(shape.streams),
        P(shape.per_layer),
        ends_(ends),
        layers_(std::move(layers)) {}

  // s_0 = E[token] sqrt(D); s_i = Wp_i s_0 of the size of s_0; and what each layer gets of a token.
  void begin(Step& s) const override {
    ask_for_rows(s);
    float* x = s.state.x.data();
    embed(s, x);
    scale(s, std::sqrt(static_cast<double>(s.config.hidden)), x);
    project(s, s.state.x.span(), s.tokens(), {{ends_.per_layer_projection, inputs(s).span()}});
    for (int64_t i = 1; i < A; ++i) {
      const Matrix w = ends_.to_streams[i - 1];
      project(s, s.state.x.span(), s.tokens(), {{w, stream(s, i).span()}});
      match_size(s, x, stream(s, i).data());
    }
    finish_inputs(s);
  }

  void layer(Step& s, int64_t l) const override {
    const Layer& w = layers_[static_cast<size_t>(l)];
    float *x = s.state.x.data(), *h = s.state.h.data(), *o = s.state.o.data();  // (T, D) each
    float* b = branch(s).data();                                                // (T, D)

    use_all(s);
    const RoutedExperts ffn(s, l);  // its weights may be on their way meanwhile
    predict(s, w);                  // x: of stream 0

    norm(s, x, w.attn_norm, h);
    laurel(s, w, h, b);
    attention(s, w.attention, l, h, o);
    norm(s, o, w.post_attn_norm, o);
    add(s, x, o);
    add(s, o, b);
    scale(s, std::sqrt(0.5), b);  // b = (x + attention + laurel) / sqrt(2)

    norm(s, b, w.ffn_norm, h);
    std::fill_n(o, s.tokens() * s.config.hidden, 0.0f);
    expert_ffn(s, l, h, o);
    norm(s, o, w.post_ffn_norm, o);
    add(s, o, b);

    correct(s, w, b);
    add_input(s, w, l);
  }

  // x = mean of s_0 and of Wu_i s_i of the size of s_0.
  void end(Step& s) const override {
    float *x = s.state.x.data(), *o = s.state.o.data(), *sum = branch(s).data();  // (T, D) each
    std::copy_n(x, s.tokens() * s.config.hidden, sum);
    for (int64_t i = 1; i < A; ++i) {
      const Matrix w = ends_.from_streams[i - 1];
      project(s, stream(s, i).span(), s.tokens(), {{w, s.state.o.span()}});
      match_size(s, x, o);
      add(s, o, sum);
    }
    std::copy_n(sum, s.tokens() * s.config.hidden, x);
    scale(s, 1 / static_cast<double>(A), x);
  }

 private:
  // State::extra begins with streams 1 .. A - 1.
  AlignedBuffer<float>& extra(Step& s, int64_t i) const {
    return s.state.extra[static_cast<size_t>(i)];
  }
  AlignedBuffer<float>& stream(Step& s, int64_t i) const {  // (T, D)
    return i == 0 ? s.state.x : extra(s, i - 1);
  }
  AlignedBuffer<float>& branch(Step& s) const { return extra(s, A - 1); }    // (T, D)
  AlignedBuffer<float>& narrow(Step& s) const { return extra(s, A); }        // (T, R), (T, P)
  AlignedBuffer<float>& modality(Step& s) const { return extra(s, A + 1); }  // (T, A)
  AlignedBuffer<float>& inputs(Step& s) const { return extra(s, A + 2); }    // (T, L, P)

  // The table may have fewer rows than the vocabulary: its first is that of all tokens beyond.
  void ask_for_rows(Step& s) const {
    std::vector<int32_t> rows;
    for (const BatchItem& item : s.batch) {
      rows.push_back(item.token < weights().token_rows.matrix.rows ? item.token : 0);
    }
    s.token_rows->ask(rows);
  }

  // inputs = (norm(inputs / sqrt(D)) + T[token] sqrt(P)) / sqrt(2), each layer's slice normalised
  // by itself; T: (V, L * P).
  void finish_inputs(Step& s) const {
    const int64_t width = s.config.layers * P;
    float* all = inputs(s).data();
    const auto D = static_cast<double>(s.config.hidden);
    each_token(s, [&](int64_t t) {
      for (float* slice = all + t * width; slice < all + (t + 1) * width; slice += P) {
        for (int64_t i = 0; i < P; ++i) slice[i] *= static_cast<float>(1 / std::sqrt(D));
        s.kernels.rms_norm(slice, ends_.per_layer_norm, s.config.rms_eps, P, slice);
      }
    });
    const auto grow = static_cast<float>(std::sqrt(static_cast<double>(P)));
    const auto shrink = static_cast<float>(std::sqrt(0.5));
    const auto take_row = [&](size_t t, std::span<const float> row) {
      float* to = all + static_cast<int64_t>(t) * width;
      for (size_t i = 0; i < row.size(); ++i) to[i] = (to[i] + row[i] * grow) * shrink;
    };
    s.token_rows->take(take_row, s.stop);
  }

  // m = tanh(Wr norm(in) / D).  in: (T, D), m: (T, A)
  void find_modality(Step& s, const Layer& w, const float* in) const {
    norm(s, in, w.router_norm, s.state.h.data());
    project(s, s.state.h.span(), s.tokens(), {{w.router, modality(s).span()}});
    float* m = modality(s).data();
    for (int64_t i = 0; i < s.tokens() * A; ++i) m[i] /= static_cast<float>(s.config.hidden);
    s.kernels.soft_cap(m, 1, s.tokens() * A);
  }

  // c = W m of token t.  w: (n, A)
  std::array<float, kMostStreams * kMostStreams> coefficients(Step& s, std::span<const float> w,
                                                              int64_t t) const {
    std::array<float, kMostStreams * kMostStreams> c{};
    const float* m = modality(s).data() + t * A;
    for (size_t i = 0; i < w.size(); ++i) {
      c[i / static_cast<size_t>(A)] += w[i] * m[i % static_cast<size_t>(A)];
    }
    return c;
  }

  // s_j += sum over i of c[j][i] s_i, c of s_0.
  void predict(Step& s, const Layer& w) const {
    constexpr int64_t kPiece = 256;
    const int64_t D = s.config.hidden;
    find_modality(s, w, s.state.x.data());
    const std::vector<float> matrix = clipped(w.predict);
    each_token(s, [&](int64_t t) {
      const auto c = coefficients(s, matrix, t);
      float old[kMostStreams][kPiece];
      for (int64_t at = t * D; at < (t + 1) * D; at += kPiece) {
        const int64_t n = std::min(kPiece, (t + 1) * D - at);
        for (int64_t i = 0; i < A; ++i) std::copy_n(stream(s, i).data() + at, n, old[i]);
        for (int64_t j = 0; j < A; ++j) {
          for (int64_t i = 0; i < A; ++i) {
            s.kernels.axpy(c[static_cast<size_t>(j * A + i)], old[i], n, stream(s, j).data() + at);
          }
        }
      }
    });
  }

  // out = in + norm(Wright Wleft in).  in, out: (T, D)
  void laurel(Step& s, const Layer& w, const float* in, float* out) const {
    const auto values = static_cast<size_t>(s.tokens() * s.config.hidden);
    project(s, {in, values}, s.tokens(), {{w.laurel_left, narrow(s).span()}});
    project(s, narrow(s).span(), s.tokens(), {{w.laurel_right, {out, values}}});
    norm(s, out, w.post_laurel_norm, out);
    add(s, in, out);
  }

  // s_j += (1 + c_j) (active - s_0), c of what the layer has made of s_0.  active: (T, D)
  void correct(Step& s, const Layer& w, const float* active) const {
    const int64_t D = s.config.hidden;
    find_modality(s, w, active);
    const std::vector<float> matrix = clipped(w.correct);
    each_token(s, [&](int64_t t) {
      const auto c = coefficients(s, matrix, t);
      float* innovation = s.state.o.data() + t * D;
      const float* x = s.state.x.data() + t * D;
      for (int64_t i = 0; i < D; ++i) innovation[i] = active[t * D + i] - x[i];
      for (int64_t j = 0; j < A; ++j) {
        s.kernels.axpy(1 + c[static_cast<size_t>(j)], innovation, D, stream(s, j).data() + t * D);
      }
    });
  }

  // s_i += norm(Wproj (gelu(Wgate (s_0 * scale)) * input of the layer)) for i > 0.
  void add_input(Step& s, const Layer& w, int64_t l) const {
    const int64_t D = s.config.hidden, width = s.config.layers * P;
    float *h = s.state.h.data(), *o = s.state.o.data();
    each_token(s, [&](int64_t t) {
      const float* x = s.state.x.data() + t * D;
      for (int64_t i = 0; i < D; ++i) h[t * D + i] = x[i] * w.correct_scale[i];
    });
    project(s, s.state.h.span(), s.tokens(), {{w.input_gate, narrow(s).span()}});
    each_token(s, [&](int64_t t) {
      s.kernels.gelu_multiply(narrow(s).data() + t * P, inputs(s).data() + t * width + l * P, P);
    });
    project(s, narrow(s).span(), s.tokens(), {{w.input_projection, s.state.o.span()}});
    norm(s, o, w.post_input_norm, o);
    for (int64_t i = 1; i < A; ++i) add(s, o, stream(s, i).data());
  }

  const int64_t A, P;
  const Ends ends_;
  const std::vector<Layer> layers_;  // (L)
};

AttentionWeights load_heads(WeightStore& store, const ModelConfig& c, int64_t l) {
  AttentionWeights w = load_attention(store, c, l);
  w.q_norm = store.norm(names::layer(l, names::kQNorm), c.head_dim);
  const std::string k_norm = names::layer(l, names::kKNorm);
  if (w.wk) {
    w.k_norm = store.norm(k_norm, c.head_dim);
  } else {
    store.has(k_norm);  // files have it all the same
  }
  return w;
}

Layer load_layer(WeightStore& store, const ModelConfig& c, const Shape& shape, int64_t l) {
  const auto [A, P, R] = shape;
  const int64_t D = c.hidden;
  const auto matrix = [&](std::string_view name, int64_t rows, int64_t cols) {
    return store.matrix(names::layer(l, name), rows, cols);
  };
  const auto norm = [&](std::string_view name) { return store.norm(names::layer(l, name), D); };
  return {.router_norm = norm("altup_router_norm"),
          .router = matrix("altup_router", A, D),
          .predict = matrix("altup_predict_coef", A * A, A),
          .correct = matrix("altup_correct_coef", A, A),
          .correct_scale = store.vector(names::layer(l, "altup_correct_scale"), D),
          .attn_norm = norm(names::kAttnNorm),
          .post_attn_norm = norm("post_attention_norm"),
          .ffn_norm = norm(names::kFfnNorm),
          .post_ffn_norm = norm("post_ffw_norm"),
          .attention = load_heads(store, c, l),
          .laurel_left = matrix(kLaurelLeft, R, D),
          .laurel_right = matrix("laurel_r", D, R),
          .post_laurel_norm = norm("laurel_post_norm"),
          .input_gate = matrix("inp_gate", P, D),
          .input_projection = matrix("proj", D, P),
          .post_input_norm = norm("post_norm")};
}

// The table of each token's embeddings for the layers, of as many tokens as it has: published ones
// leave out the last few.
MatrixRows load_token_rows(WeightStore& store, int64_t vocab, int64_t width) {
  constexpr std::string_view kTable = names::kPerLayerEmbedding;
  const GgufTensor* info = store.info(kTable);
  const auto most = static_cast<uint64_t>(vocab);
  if (info != nullptr && info->dim(1) > most) {
    fail(ErrorCode::kInvalidData, "tensor '{}': {} rows for a vocabulary of {}", kTable,
         info->dim(1), vocab);
  }
  return store.rows_in_file(kTable, info == nullptr ? vocab : static_cast<int64_t>(info->dim(1)),
                            width);
}

std::unique_ptr<Decoder> load(WeightStore& store, const ModelConfig& c) {
  const Shape shape = read_shape(ConfigKeys(store.model(), kGemma3n.name));
  const int64_t D = c.hidden, width = c.layers * shape.per_layer;
  Weights weights = load_weights(store, c, false);
  weights.token_rows = load_token_rows(store, c.vocab, width);
  const Ends ends{
      .to_streams = store.matrices("altup_proj.weight", shape.streams - 1, D, D),
      .from_streams = store.matrices("altup_unembd_proj.weight", shape.streams - 1, D, D),
      .per_layer_projection = store.matrix("per_layer_model_proj.weight", width, D),
      .per_layer_norm = store.norm("per_layer_proj_norm.weight", shape.per_layer)};
  std::vector<Layer> layers;
  for (int64_t l = 0; l < c.layers; ++l) layers.push_back(load_layer(store, c, shape, l));
  return std::make_unique<Gemma3n>(std::move(weights), shape, ends, std::move(layers));
}

}  // namespace
}  // namespace gemma3n

const Architecture kGemma3n = {"gemma3n", gemma3n::read_config, gemma3n::load};

}  // namespace st

#include "shapes/made_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "arch/names.h"
#include "format/gguf.h"
#include "tensor/quantize.h"
#include "text/bpe.h"
#include "text/vocab.h"

namespace st::shapes {
namespace {

constexpr int64_t kBytes = 256;  // tokens that a vocabulary must have

template <typename T>
T one_of(std::mt19937& random, std::initializer_list<T> values) {
  return values.begin()[random() % values.size()];
}

Vocab byte_vocab(int64_t size) {
  Vocab vocab;
  for (int64_t id = 0; id < size; ++id) {
    const bool byte = id < kBytes;
    vocab.tokens.push_back(byte ? byte_to_char(static_cast<uint8_t>(id))
                                : fmt::format("[PAD{}]", id));
    vocab.types.push_back(byte ? TokenType::kNormal : TokenType::kUnused);
  }
  return vocab;
}

class Maker {
 public:
  Maker(const Shape& shape, uint32_t seed, const Spoil& spoil)
      : shape_(shape), random_(seed), spoil_(spoil) {}

  void write(const std::string& path) {
    describe();
    plan();
    out_.begin(path);
    for (const GgufTensor& tensor : out_.tensors()) out_.write(bytes_of(tensor));
    out_.finish();
  }

 private:
  void describe() {
    const ModelConfig& c = shape_.config;
    out_.set("general.architecture", GgufValue::string(c.architecture));
    const std::pair<const char*, int64_t> numbers[] = {
        {"block_count", c.layers},
        {"context_length", c.context},
        {"embedding_length", c.hidden},
        {"attention.head_count", c.heads},
        {"attention.head_count_kv", c.kv_heads},
        {"attention.key_length", c.head_dim},
        {"attention.value_length", c.head_dim},
        {"expert_count", shape_.ffn.experts},
        {"expert_used_count", shape_.ffn.used},
        {"expert_feed_forward_length", shape_.ffn.width},
    };
    for (const auto& [key, value] : numbers) set(key, GgufValue::u32(static_cast<uint32_t>(value)));
    if (c.architecture == "smallthinker") {
      set("expert_gating_func", GgufValue::u32(c.gating == Gating::kSoftmax ? 1 : 2));
      set("ffn_down_transposed", GgufValue::boolean(shape_.down_transposed));
    }
    if (shape_.window > 0) {
      set("attention.sliding_window", GgufValue::u32(static_cast<uint32_t>(shape_.window)));
    }
    set("attention.layer_norm_rms_epsilon", GgufValue::f32(c.rms_eps));
    set("rope.freq_base", GgufValue::f32(1e4f));
    write_gguf_vocab(byte_vocab(c.vocab), out_);
  }

  void set(std::string_view key, GgufValue value) {
    out_.set(fmt::format("{}.{}", shape_.config.architecture, key), std::move(value));
  }

  void plan() {
    const ModelConfig& c = shape_.config;
    add(names::kEmbedding, shape_.type, {c.hidden, c.vocab});
    for (int64_t l = 0; l < c.layers; ++l) {
      const auto name = [&](std::string_view part) { return names::layer(l, part); };
      add(name(names::kAttnNorm), DType::kF32, {c.hidden});
      add(name(names::kAttnQ), shape_.type, {c.hidden, c.q_width()});
      add(name(names::kAttnK), shape_.type, {c.hidden, c.kv_width()});
      add(name(names::kAttnV), shape_.type, {c.hidden, c.kv_width()});
      add(name(names::kAttnOutput), shape_.type, {c.q_width(), c.hidden});
      add(name(names::kFfnNorm), DType::kF32, {c.hidden});
      for (const std::string& norm : shape_.more_norms) add(name(norm), DType::kF32, {c.hidden});
      add(name(names::kRouter), shape_.router, {c.hidden, shape_.ffn.experts});
      add(name(names::kFfnGate), shape_.type, {c.hidden, shape_.ffn.width, shape_.ffn.experts});
      add(name(names::kFfnUp), shape_.type, {c.hidden, shape_.ffn.width, shape_.ffn.experts});
      const std::vector<int64_t> down = {shape_.down_transposed ? c.hidden : shape_.ffn.width,
                                         shape_.down_transposed ? shape_.ffn.width : c.hidden,
                                         shape_.ffn.experts};
      add(name(names::kFfnDown), shape_.type, down);
    }
    add(names::kOutputNorm, DType::kF32, {c.hidden});
    if (!shape_.tied) add(names::kOutput, shape_.type, {c.hidden, c.vocab});
    if (shape_.rank > 0) {
      add(names::kPredictor, shape_.type, {shape_.rank * (c.hidden + c.vocab)});
    }
  }

  void add(std::string_view name, DType type, const std::vector<int64_t>& ne) {
    out_.add_tensor(std::string(name), type, {ne.begin(), ne.end()});
  }

  std::vector<std::byte> bytes_of(const GgufTensor& tensor) {
    uint64_t count = 1;
    for (const uint64_t n : tensor.ne) count *= n;
    std::vector<float> values(count);
    const bool norm = tensor.ne.size() == 1 && tensor.name != names::kPredictor;
    for (float& value : values) {
      const float uniform = static_cast<float>(random_() % 65536) / 65536.0f;
      value = norm ? 0.5f + uniform : uniform - 0.5f;
    }
    if (spoil_) spoil_(tensor.name, values);
    std::vector<std::byte> bytes(tensor.bytes);
    quantize_row(tensor.type, values.data(), static_cast<int64_t>(count), bytes.data());
    return bytes;
  }

  const Shape& shape_;
  std::mt19937 random_;
  const Spoil& spoil_;
  GgufWriter out_;
};

}  // namespace

std::string Shape::text() const {
  const ModelConfig& c = config;
  return fmt::format("L={} D={} H={} K={} d={} E={} k={} F={} V={} window={} {} router {}{}{}{}",
                     c.layers, c.hidden, c.heads, c.kv_heads, c.head_dim, ffn.experts, ffn.used,
                     ffn.width, c.vocab, window, dtype_name(type), dtype_name(router),
                     down_transposed ? " transposed" : "", tied ? " tied" : "",
                     rank > 0 ? fmt::format(" rank {}", rank) : "");
}

Shape smallest() {
  Shape shape;
  ModelConfig& c = shape.config;
  c.architecture = "smallthinker";
  c.layers = c.hidden = c.heads = c.kv_heads = shape.ffn.experts = shape.ffn.used =
      shape.ffn.width = 1;
  c.head_dim = 2;
  c.vocab = kBytes;
  c.context = 256;
  return shape;
}

Shape draw_shape(std::mt19937& random) {
  const auto any = [&](std::initializer_list<int64_t> values) { return one_of(random, values); };
  const auto coin = [&] { return random() % 2 == 0; };
  Shape shape = smallest();
  shape.type = one_of(random, {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0});
  const bool blocks = shape.type == DType::kQ8_0 || shape.type == DType::kQ4_0;
  ModelConfig& c = shape.config;
  c.layers = any({1, 1, 2, 5});
  c.hidden = blocks ? any({32, 64, 96, 128, 160}) : any({1, 2, 3, 7, 8, 17, 31, 33, 64, 100, 129});
  c.kv_heads = any({1, 1, 2, 3, 5});
  c.heads = c.kv_heads * any({1, 1, 2, 3, 7, 8, 16, 17});
  c.head_dim = any({2, 4, 6, 8, 16, 30, 32, 34, 62, 64, 66, 128});
  if (blocks && c.q_width() % 32 != 0) c.head_dim = 32;
  shape.ffn.experts = any({1, 2, 3, 4, 7, 16, 33, 64});
  shape.ffn.used =
      coin() ? 1 : 1 + static_cast<int64_t>(random() % static_cast<size_t>(shape.ffn.experts));
  shape.ffn.width = blocks ? any({32, 64, 96}) : any({1, 2, 3, 4, 5, 8, 15, 16, 17, 32, 33, 64});
  c.vocab = kBytes + any({0, 1, 2, 63});
  shape.window = any({0, 0, 1, 2, 5, 127, 128, 129, 1000});
  c.gating = coin() ? Gating::kSoftmax : Gating::kSigmoid;
  shape.down_transposed = coin();
  shape.tied = coin();
  shape.router = one_of(random, {DType::kF32, DType::kF32, DType::kF16, DType::kBF16});
  if (random() % 3 == 0) shape.rank = blocks ? 32 : std::min<int64_t>(c.hidden, any({1, 2, 5, 16}));
  return shape;
}

void write_model(const Shape& shape, uint32_t seed, const std::string& path, const Spoil& spoil) {
  Maker(shape, seed, spoil).write(path);
}

}  // namespace st::shapes

#include "study/synth.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "arch/names.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "convert/gguf_out.h"
#include "convert/quant_mix.h"
#include "study/synth_archs.h"
#include "study/synth_rows.h"
#include "study/synth_vocab.h"
#include "study/synth_weights.h"
#include "tensor/quantize.h"

namespace st {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{4} << 20;

void check(const SynthOptions& o) {
  const auto check_share = [](std::string_view what, double value, double min, double max) {
    if (!(value >= min && value <= max))
      fail(ErrorCode::kInvalidUsage, "{} {}: want {} to {}", what, value, min, max);
  };
  check_share("gate sparsity", o.gate_sparsity, 0.05, 0.99);
  check_share("router skew", o.router_skew, 0, 1);
  if (!can_quantize(o.type)) {
    fail(ErrorCode::kInvalidUsage, "type {}: want one that can be written", dtype_name(o.type));
  }
  if (!o.mix.empty() && find_quant_mix(o.mix) == nullptr) {
    fail(ErrorCode::kInvalidUsage, "type '{}': want {}", printable(o.mix), quant_mix_names());
  }
  if (o.arch_name != "smallthinker" && o.arch_name != "qwen3moe") {
    fail(ErrorCode::kInvalidUsage, "architecture '{}': want smallthinker or qwen3moe",
         printable(o.arch_name));
  }
}

// Other families, and other engines, have no such things.
void check_family(const SynthOptions& o, const ModelConfig& c) {
  if (c.architecture == "smallthinker") return;
  const auto refuse = [&](std::string_view what) {
    fail(ErrorCode::kInvalidUsage, "{} has no {}", c.architecture, what);
  };
  if (o.transpose_down) refuse("transposed layout");
  if (o.predictor) refuse("lm-head predictor");
  if (c.ffn(0).activation == Activation::kRelu) return;
  if (o.gate_sparsity != SynthOptions().gate_sparsity) refuse("gates that a sparsity turns off");
}

// The configuration, under the name that is asked for.
SynthArch find_arch(const SynthOptions& o) {
  SynthArch arch = find_synth_arch(o.arch);
  if (o.arch_name == "qwen3moe") {
    if (arch.config.architecture != "smallthinker") {
      fail(ErrorCode::kInvalidUsage, "{} is a {} already", o.arch, arch.config.architecture);
    }
    arch.config.architecture = o.arch_name;
  }
  check_family(o, arch.config);
  return arch;
}

Vocab make_vocab(const SynthArch& arch) {
  const ModelConfig& c = arch.config;
  return c.architecture == "gemma3n" ? make_synth_pieces(arch.regular_tokens, c.vocab)
                                     : make_synth_vocab(arch.regular_tokens, c.vocab);
}

// Row r as its type has it. Types without a way of their own are encoded, which takes a while.
void make_row(const SynthRows& part, int64_t r, DType type, std::byte* out) {
  Row row;
  part.describe(r, row);
  const uint64_t key = mix_bits(part.key, static_cast<uint64_t>(r));
  if (can_fill(type)) {
    fill_row(type, key, row, out);
    return;
  }
  std::vector<float> values(static_cast<size_t>(part.cols));
  fill_row(DType::kF32, key, row, reinterpret_cast<std::byte*>(values.data()));
  quantize_row(type, values.data(), part.cols, out);
}

// Makes the rows a piece at a time, each piece on all threads.
template <typename Sink>
void write_rows(const SynthRows& part, DType type, ThreadPool& pool, std::vector<std::byte>& piece,
                const Sink& sink) {
  const uint64_t stride = row_bytes(type, static_cast<uint64_t>(part.cols));
  const auto most = static_cast<int64_t>(std::max<uint64_t>(1, kPieceBytes / stride));
  for (int64_t first = 0; first < part.rows; first += most) {
    const int64_t n = std::min(most, part.rows - first);
    piece.resize(static_cast<uint64_t>(n) * stride);
    pool.parallel_for(n, 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        make_row(part, first + r, type, piece.data() + static_cast<uint64_t>(r) * stride);
    });
    sink(piece);
  }
}

// Gives each matrix its type in the mix, and such as its rows can have.
void choose_types(const SynthOptions& o, const SynthArch& arch, std::vector<SynthTensor>& tensors) {
  const ModelConfig& c = arch.config;
  MixFacts facts{.layers = c.layers,
                 .experts = c.ffn(0).routed ? c.ffn(0).experts : 0,
                 .queries_per_key = c.heads / c.kv_heads,
                 .value_layers = {}};
  for (const SynthTensor& tensor : tensors) facts.add(tensor.name);
  const QuantMix* mix = find_quant_mix(o.mix);
  for (SynthTensor& tensor : tensors) {
    if (tensor.type != o.type) continue;
    const bool mixed = mix != nullptr && tensor.name != names::kPredictor;
    const DType want = mixed ? mixed_type(*mix, facts, tensor.name, tensor.ne[0]) : o.type;
    uint64_t cols = tensor.ne[0];
    for (const SynthRows& part : tensor.parts) cols = std::gcd(cols, part.cols);
    tensor.type = type_for_row(want, cols);
  }
}

}  // namespace

SynthResult synthesize(const SynthOptions& options) {
  check(options);
  const SynthArch arch = find_arch(options);

  GgufWriter out;
  set_gguf_metadata(arch.config, options.type, options.transpose_down, out);
  if (const QuantMix* mix = find_quant_mix(options.mix))
    out.set("general.file_type", GgufValue::u32(mix->file_type));
  for (const GgufEntry& entry : arch.hf.keys) out.set(entry.key, entry.value);
  write_gguf_vocab(make_vocab(arch), out);
  std::vector<SynthTensor> tensors = plan_synth_tensors(arch, options);
  choose_types(options, arch, tensors);
  SynthResult result;
  result.tensors = tensors.size();
  for (const SynthTensor& tensor : tensors) {
    out.add_tensor(tensor.name, tensor.type, tensor.ne);
    result.tensor_bytes += out.tensors().back().bytes;
  }
  result.file_bytes = out.file_size();

  ThreadPool pool(options.threads);
  result.notice = pool.notice();
  out.begin(options.outfile);
  uint64_t done = 0;
  const auto sink = [&](std::span<const std::byte> bytes) {
    out.write(bytes);
    done += bytes.size();
    if (options.progress) options.progress("synth", done, result.tensor_bytes);
  };
  std::vector<std::byte> piece;
  for (const SynthTensor& tensor : tensors) {
    if (tensor.floats) {
      const std::vector<float> values = tensor.floats();
      sink(std::as_bytes(std::span(values)));
    }
    for (const SynthRows& part : tensor.parts) write_rows(part, tensor.type, pool, piece, sink);
  }
  out.finish();
  return result;
}

}  // namespace st

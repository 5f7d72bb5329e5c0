#include "engine/engine.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace st {

struct Engine::Impl {
  EngineOptions options;
  GgufModel file;
  const Architecture& architecture;
  std::vector<std::string> notices;
  ModelConfig config;
  Tokenizer tokenizer;
  const KernelTable& kernels;
  ThreadPool pool;
  WeightStore store;
  ResidentExperts experts;
  Weights weights;
  int64_t context;
  KvCache cache;
  State state;
  Observer observer;
  std::vector<float> logits;  // rows gathered over micro-batches

  Impl(const std::string& path, EngineOptions opts)
      : options(std::move(opts)),
        file(path),
        architecture(find_architecture(file.metadata())),
        config(architecture.read_config(file.metadata(), {.gating = options.gating}, notices)),
        tokenizer(read_gguf_vocab(file.metadata())),
        kernels(pick_kernels(options.kernels)),
        pool(options.threads),
        store(file),
        weights(architecture.load(store, experts, config)),
        context(options.context > 0 ? options.context : config.context),
        cache(config, cache_type(), options.sequences, context, micro_batch()),
        state(config, micro_batch(), pool.threads()) {
    if (tokenizer.size() > config.vocab) {
      fail(ErrorCode::kInvalidData, "{} tokens for a vocabulary of {} rows", tokenizer.size(),
           config.vocab);
    }
    if (context > config.context) {
      notices.push_back(
          fmt::format("context {} is more than the {} positions the model was trained for", context,
                      config.context));
    }
    options.head.always = tokenizer.vocab().end_of_generation;
    store.read_all(pool, options.progress);
  }

  int64_t micro_batch() const { return std::min(options.micro_batch, context); }

  // A cache less precise than the weights would be the weakest link of an F32 model.
  KvType cache_type() const {
    if (options.cache_type) return *options.cache_type;
    return weights.layers.front().wk.type == DType::kF32 ? KvType::kF32 : KvType::kI16;
  }

  void check(std::span<const BatchItem> batch) const {
    for (const BatchItem& item : batch) {
      if (item.token < 0 || item.token >= config.vocab) {
        fail(ErrorCode::kInvalidUsage, "token {}: want 0..{}", item.token, config.vocab - 1);
      }
      if (item.position < 0 || item.position >= context) {
        fail(ErrorCode::kInvalidUsage, "position {}: want 0..{}", item.position, context - 1);
      }
      if (item.sequence < 0 || item.sequence >= options.sequences) {
        fail(ErrorCode::kInvalidUsage, "sequence {}: want 0..{}", item.sequence,
             options.sequences - 1);
      }
    }
  }

  std::span<const float> evaluate_micro(std::span<const BatchItem> batch) {
    Step step{config, weights, kernels, pool, experts, cache, state, batch, options.head};
    if (observer) step.observer = &observer;
    const uint32_t calls = pool.calls();
    const std::span<const float> out = forward(architecture, step);
    state.stats.pool_calls += pool.calls() - calls;
    const auto good = [](float x) { return std::isfinite(x) || x == -HUGE_VALF; };
    const bool sparse = options.head.mode == LmHead::kSparse;  // which marks rows with -infinity
    if (!std::ranges::all_of(out, [&](float x) { return sparse ? good(x) : std::isfinite(x); })) {
      fail(ErrorCode::kInvalidData, "the model computed a logit that is not a finite number");
    }
    return out;
  }
};

Engine::Engine(const std::string& path, EngineOptions options) {
  if (options.micro_batch < 1 || options.sequences < 1 || options.context < 0) {
    fail(ErrorCode::kInvalidUsage, "batch size, sequences and context must be positive");
  }
  impl_ = std::make_unique<Impl>(path, std::move(options));
}

Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;

const ModelConfig& Engine::config() const { return impl_->config; }
const Tokenizer& Engine::tokenizer() const { return impl_->tokenizer; }
const GgufModel& Engine::file() const { return impl_->file; }
const std::vector<std::string>& Engine::notices() const { return impl_->notices; }
std::string_view Engine::kernels() const { return impl_->kernels.name; }
int Engine::threads() const { return impl_->pool.threads(); }
int64_t Engine::context() const { return impl_->context; }
int64_t Engine::micro_batch() const { return impl_->micro_batch(); }
KvType Engine::cache_type() const { return impl_->cache_type(); }
uint64_t Engine::weight_bytes() const { return impl_->store.bytes(); }
uint64_t Engine::cache_bytes() const { return impl_->cache.reserved_bytes(); }
bool Engine::has_predictor() const { return static_cast<bool>(impl_->weights.predictor_up); }
const LmHeadAgreement& Engine::head_agreement() const { return impl_->state.agreement; }
const Stats& Engine::stats() const { return impl_->state.stats; }
void Engine::reset_stats() { impl_->state.stats = {}; }
void Engine::observe(Observer observer) { impl_->observer = std::move(observer); }

std::span<const float> Engine::evaluate(std::span<const BatchItem> batch) {
  impl_->check(batch);
  const auto step = static_cast<size_t>(impl_->micro_batch());
  if (batch.size() <= step && !batch.empty()) return impl_->evaluate_micro(batch);
  impl_->logits.clear();
  for (size_t begin = 0; begin < batch.size(); begin += step) {
    const auto part =
        impl_->evaluate_micro(batch.subspan(begin, std::min(step, batch.size() - begin)));
    impl_->logits.insert(impl_->logits.end(), part.begin(), part.end());
  }
  return impl_->logits;
}

std::vector<BatchItem> make_batch(std::span<const Token> tokens, int64_t position,
                                  bool all_logits) {
  std::vector<BatchItem> batch;
  batch.reserve(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    batch.push_back({.token = tokens[i],
                     .position = static_cast<int32_t>(position + static_cast<int64_t>(i)),
                     .sequence = 0,
                     .logits = all_logits || i + 1 == tokens.size()});
  }
  return batch;
}

}  // namespace st

#include "model/config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace st {
namespace {

void check_range(const std::string& key, int64_t value, int64_t min, int64_t max) {
  if (value < min || value > max) {
    fail(ErrorCode::kInvalidData, "{} {}: want {}..{}", key, value, min, max);
  }
}

// Keys and values that are read must be there, as far back as they are read.
void check_shared_kv(const ModelConfig& c, size_t l, const std::string& prefix) {
  const auto source = static_cast<size_t>(c.layer[l].kv_layer);
  if (source >= l || !c.layer[source].owns_kv() || c.layer[source].window != c.layer[l].window) {
    fail(ErrorCode::kInvalidData,
         "key {}attention.shared_kv_layers: layer {} cannot read the keys of layer {}", prefix, l,
         source);
  }
}

void check_rope(const Rope& rope, const std::string& prefix) {
  const auto [theta, factor, yarn_context, beta_fast, beta_slow, magnitude] = rope;
  if (theta != 0 && !Rope::possible_theta(theta)) {
    fail(ErrorCode::kInvalidData, "key {}rope.freq_base {}: want 1..1e12", prefix, theta);
  }
  const std::string scaling = prefix + "rope.scaling.";
  const auto positive = [&](std::string_view key, float value) {
    if (value > 0 && std::isfinite(value)) return;
    fail(ErrorCode::kInvalidData, "key {}{} {}: want a finite number above 0", scaling, key, value);
  };
  positive("factor", factor);
  positive("attn_factor", yarn_context != 0 ? magnitude / yarn_magnitude(factor) : magnitude);
  check_range("key " + scaling + "original_context_length", yarn_context, 0, 1 << 27);
  positive("yarn_beta_slow", beta_slow);
  if (!(beta_fast > beta_slow && std::isfinite(beta_fast))) {
    fail(ErrorCode::kInvalidData, "key {}yarn_beta_fast {}: want more than yarn_beta_slow {}",
         scaling, beta_fast, beta_slow);
  }
}

void check_ffn(const Ffn& ffn, const std::string& prefix) {
  constexpr int64_t kWidest = 1 << 20;
  if (!ffn.routed) {
    return check_range("key " + prefix + "feed_forward_length", ffn.width, 1, kWidest);
  }
  check_range("key " + prefix + "expert_count", ffn.experts, 1, 1024);
  check_range("key " + prefix + "expert_used_count", ffn.used, 1, 64);
  check_range("key " + prefix + "expert_feed_forward_length", ffn.width, 1, kWidest);
  if (ffn.used > ffn.experts) {
    fail(ErrorCode::kInvalidData, "key {}expert_used_count {} > expert_count {}", prefix, ffn.used,
         ffn.experts);
  }
}

int64_t most(const ModelConfig& c, int64_t Ffn::* number) {
  int64_t most = 0;
  for (const LayerConfig& layer : c.layer) most = std::max(most, layer.ffn.*number);
  return most;
}

}  // namespace

double Rope::frequency(int64_t i, int64_t d) const {
  const double base = theta, size = static_cast<double>(d), pair = static_cast<double>(i);
  const double own = std::pow(base, -pair / (size / 2));
  if (yarn_context == 0) return own / factor;
  // The pair, as a fraction, that turns so many times in the context.
  const auto pair_of = [&](double turns) {
    return size * std::log(static_cast<double>(yarn_context) / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(base));
  };
  const double first = std::max(std::floor(pair_of(beta_fast)), 0.0);
  const double last = std::min(std::ceil(pair_of(beta_slow)), size - 1);
  const double divided = std::clamp((pair - first) / std::max(last - first, 0.001), 0.0, 1.0);
  return own * (1 - divided) + own / factor * divided;
}

float yarn_magnitude(float factor) { return factor > 1 ? 1 + 0.1f * std::log(factor) : 1; }

double ModelConfig::score_divisor() const {
  return attention_scale == 0 ? std::sqrt(static_cast<double>(head_dim)) : 1.0 / attention_scale;
}

int64_t ModelConfig::most_experts() const { return most(*this, &Ffn::experts); }
int64_t ModelConfig::most_used() const { return most(*this, &Ffn::used); }
int64_t ModelConfig::widest_ffn() const { return most(*this, &Ffn::width); }
bool ModelConfig::has_experts() const {
  return std::ranges::any_of(layer, [](const LayerConfig& l) { return l.ffn.routed; });
}
bool ModelConfig::all_route_alike() const {
  return std::ranges::all_of(layer,
                             [&](const LayerConfig& l) { return l.ffn.routed && l.ffn == ffn(0); });
}

void check_config(const ModelConfig& c, const std::string& prefix) {
  check_range("key " + prefix + "block_count", c.layers, 1, 512);
  check_range("key " + prefix + "embedding_length", c.hidden, 1, 1 << 16);
  check_range("key " + prefix + "attention.head_count", c.heads, 1, 1024);
  check_range("key " + prefix + "attention.head_count_kv", c.kv_heads, 1, 1024);
  check_range("key " + prefix + "attention.key_length", c.head_dim, 2, 1024);
  check_range("vocabulary size", c.vocab, 1, 1 << 24);
  check_range("key " + prefix + "context_length", c.context, 1, 1 << 27);
  if (c.heads % c.kv_heads != 0) {
    fail(ErrorCode::kInvalidData,
         "key {}attention.head_count {} is not a multiple of head_count_kv {}", prefix, c.heads,
         c.kv_heads);
  }
  if (c.head_dim % 2 != 0) {
    fail(ErrorCode::kInvalidData, "key {}attention.key_length {} is odd", prefix, c.head_dim);
  }
  if (!(c.rms_eps > 0 && c.rms_eps < 1)) {
    fail(ErrorCode::kInvalidData,
         "key {}attention.layer_norm_rms_epsilon {}: want more than 0, less than 1", prefix,
         c.rms_eps);
  }
  if (!(c.attention_scale >= 0 && std::isfinite(c.attention_scale))) {
    fail(ErrorCode::kInvalidData, "key {}attention.scale {}: want a finite number, 0 or more",
         prefix, c.attention_scale);
  }
  if (!(c.logit_softcap >= 0 && std::isfinite(c.logit_softcap))) {
    fail(ErrorCode::kInvalidData,
         "key {}final_logit_softcapping {}: want a finite number, 0 or more", prefix,
         c.logit_softcap);
  }
  for (size_t l = 0; l < c.layer.size(); ++l) {
    if (!c.layer[l].owns_kv()) check_shared_kv(c, l, prefix);
  }
  for (const LayerConfig& layer : c.layer) {
    check_ffn(layer.ffn, prefix);
    check_range("key " + prefix + "attention.sliding_window", layer.window, 0, 1 << 27);
    check_rope(layer.rope, prefix);
  }
}

}  // namespace st

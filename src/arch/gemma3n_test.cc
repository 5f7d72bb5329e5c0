// What keys of a file become, and what stands in for those that it lacks.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "arch/architecture.h"
#include "arch/understood.h"
#include "support/bytes.h"
#include "support/gguf_builder.h"

namespace st {
namespace {

using namespace testkit;

constexpr auto kFloat = static_cast<uint32_t>(GgufType::kF32);
constexpr auto kFlag = static_cast<uint32_t>(GgufType::kBool);
constexpr float kAll = -INFINITY;

std::string floats(const std::vector<float>& values) {
  std::string bytes;
  for (const float value : values) bytes += le(value);
  return bytes;
}

// A file without tensors, of 30 layers and only what every file has.
struct Keys {
  std::map<std::string, std::string> entries;  // encoded

  Keys() {
    entries["general.architecture"] = kv_string("general.architecture", "gemma3n");
    set("block_count", 30);
    set("context_length", 32768);
    set("embedding_length", 64);
    set("feed_forward_length", 96);
    set("attention.head_count", 4);
    set("attention.head_count_kv", 2);
    set("attention.key_length", 32);
    set("attention.value_length", 32);
    set("attention.sliding_window", 512);
    number("attention.layer_norm_rms_epsilon", 1e-6f);
    number("rope.freq_base", 1e6f);
    entries["tokenizer.ggml.tokens"] =
        kv_array("tokenizer.ggml.tokens", static_cast<uint32_t>(GgufType::kString), 1, text("a"));
  }
  static std::string name(const std::string& suffix) { return "gemma3n." + suffix; }
  void set(const std::string& suffix, uint32_t value) {
    entries[suffix] = kv_u32(name(suffix), value);
  }
  void number(const std::string& suffix, float value) {
    entries[suffix] = kv(name(suffix), GgufType::kF32, le(value));
  }
  void array(const std::string& suffix, uint32_t type, uint64_t count, const std::string& items) {
    entries[suffix] = kv_array(name(suffix), type, count, items);
  }

  ModelConfig read() const {
    GgufBuilder builder;
    for (const auto& [key, entry] : entries) builder.entries.push_back(entry);
    const GgufModel model(std::make_shared<StringSource>(builder.build()));
    Notices notices;
    const ModelConfig c = kGemma3n.read_config(model, {}, notices);
    check_neutral_keys(model.metadata(), c);
    refuse_unread_keys(model.metadata());
    return c;
  }
  std::string error() const {
    return error_of([&] { read(); });
  }
};

TEST(Gemma3nConfig, WhatIsMissingIsAsInPublishedModels) {
  const ModelConfig c = Keys().read();
  EXPECT_EQ(c.attention_scale, 1);
  EXPECT_TRUE(c.norm_values);
  EXPECT_EQ(c.logit_softcap, 30);
  for (int64_t l = 0; l < 30; ++l) {
    const LayerConfig& layer = c.layer[static_cast<size_t>(l)];
    const bool full = (l + 1) % 5 == 0;
    EXPECT_EQ(layer.window, full ? 0 : 512) << l;
    EXPECT_EQ(layer.rope.theta, full ? 1e6f : 1e4f) << l;
    EXPECT_EQ(layer.ffn.cutoff, l < 10 ? 1.6448536f : kAll) << l;
    EXPECT_EQ(layer.ffn.activation, Activation::kGelu) << l;
    EXPECT_EQ(layer.ffn.width, 96) << l;
    EXPECT_EQ(layer.kv_layer, l < 20 ? -1 : full ? 19 : 18) << l;
  }
  // 4 streams beside x and a branch; inputs of 256 for each layer.
  EXPECT_EQ(c.extra, (std::vector<int64_t>{64, 64, 64, 64, 256, 4, 30 * 256}));

  Keys few;
  few.set("block_count", 10);
  for (const LayerConfig& layer : few.read().layer) {
    EXPECT_EQ(layer.ffn.cutoff, kAll);
    EXPECT_TRUE(layer.owns_kv());
  }
}

TEST(Gemma3nConfig, KeysAreObeyed) {
  Keys keys;
  keys.set("block_count", 5);
  keys.array("attention.sliding_window_pattern", kFlag, 5, {1, 0, 1, 1, 0});
  keys.set("attention.shared_kv_layers", 2);
  keys.array("feed_forward_length", static_cast<uint32_t>(GgufType::kI32), 5,
             le(32) + le(64) + le(96) + le(128) + le(160));
  keys.array("activation_sparsity_scale", kFloat, 5, floats({0, kAll, -0.5f, 2.5f, kAll}));
  keys.number("rope.freq_base_swa", 5000);
  keys.number("final_logit_softcapping", 20);
  keys.set("altup.num_inputs", 3);
  keys.set("altup.active_idx", 0);
  keys.set("embedding_length_per_layer_input", 32);
  const ModelConfig c = keys.read();
  const int64_t windows[] = {512, 0, 512, 512, 0}, sources[] = {-1, -1, -1, 2, 1};
  const float cutoffs[] = {0, kAll, -0.5f, 2.5f, kAll};
  for (size_t l = 0; l < 5; ++l) {
    EXPECT_EQ(c.layer[l].window, windows[l]) << l;
    EXPECT_EQ(c.layer[l].rope.theta, windows[l] > 0 ? 5000 : 1e6f) << l;
    EXPECT_EQ(c.layer[l].kv_layer, sources[l]) << l;
    EXPECT_EQ(c.layer[l].ffn.width, 32 * static_cast<int64_t>(l + 1)) << l;
    EXPECT_EQ(c.layer[l].ffn.cutoff, cutoffs[l]) << l;
  }
  EXPECT_EQ(c.logit_softcap, 20);
  EXPECT_EQ(c.extra, (std::vector<int64_t>{64, 64, 64, 32, 3, 5 * 32}));

  keys.set("attention.sliding_window_pattern", 2);  // a period
  const ModelConfig other = keys.read();
  for (size_t l = 0; l < 5; ++l) EXPECT_EQ(other.layer[l].window, l % 2 == 0 ? 512 : 0) << l;
  keys.set("attention.shared_kv_layers", 5);  // all: none
  for (const LayerConfig& layer : keys.read().layer) EXPECT_TRUE(layer.owns_kv());
}

TEST(Gemma3nConfig, NonsenseIsRefused) {
  const auto with = [](const auto& change) {
    Keys keys;
    change(keys);
    return keys.error();
  };
  EXPECT_EQ(with([](Keys& k) { k.set("altup.active_idx", 1); }),
            "key gemma3n.altup.active_idx 1: want 0..0");
  EXPECT_EQ(with([](Keys& k) { k.set("altup.num_inputs", 9); }),
            "key gemma3n.altup.num_inputs 9: want 2..8");
  EXPECT_EQ(with([](Keys& k) { k.set("embedding_length_per_layer_input", 0); }),
            "key gemma3n.embedding_length_per_layer_input 0: want 1..65536");
  EXPECT_EQ(with([](Keys& k) { k.set("attention.shared_kv_layers", 31); }),
            "key gemma3n.attention.shared_kv_layers 31: want 0..30");
  EXPECT_EQ(with([](Keys& k) { k.set("attention.shared_kv_layers", 27); }),
            "key gemma3n.attention.shared_kv_layers 27: no layer before 4 has keys for it");
  EXPECT_EQ(with([](Keys& k) { k.set("attention.sliding_window", 0); }),
            "layer 0 slides but gemma3n.attention.sliding_window is 0");
  EXPECT_EQ(with([](Keys& k) { k.entries.erase("attention.sliding_window"); }),
            "key gemma3n.attention.sliding_window: missing");
  EXPECT_EQ(with([](Keys& k) { k.array("attention.sliding_window_pattern", kFlag, 2, {1, 0}); }),
            "key gemma3n.attention.sliding_window_pattern: 2 entries for 30 layers");
  EXPECT_EQ(with([](Keys& k) { k.array("activation_sparsity_scale", kFloat, 1, floats({1})); }),
            "key gemma3n.activation_sparsity_scale: 1 entries for 30 layers");
  EXPECT_EQ(with([](Keys& k) { k.number("activation_sparsity_scale", 1); }),
            "key gemma3n.activation_sparsity_scale 1: want an array of f32");
  EXPECT_EQ(with([](Keys& k) {
              k.array("activation_sparsity_scale", kFloat, 30,
                      floats(std::vector<float>(30, std::nanf(""))));
            }),
            "key gemma3n.activation_sparsity_scale: layer 0: nan, want a finite number or -inf");
  EXPECT_EQ(with([](Keys& k) { k.number("final_logit_softcapping", -3); }),
            "key gemma3n.final_logit_softcapping -3: want a finite number, 0 or more");
  for (const float base : {0.0f, -1.0f, 1e30f}) {
    EXPECT_EQ(with([&](Keys& k) { k.number("rope.freq_base_swa", base); }),
              fmt::format("key gemma3n.rope.freq_base_swa {}: want 1..1e12", base));
  }
  EXPECT_EQ(with([](Keys& k) { k.number("attention.scale", 0.5f); }),
            "key gemma3n.attention.scale 0.5 unsupported, want 1");
}

}  // namespace
}  // namespace st

// Files of Qwen3 with a key or a tensor that is missing, odd or out of range: one line that names
// it and says what is wrong.
#include <gtest/gtest.h>

#include <limits>

#include "families/fixture.h"
#include "support/bytes.h"
#include "support/changed_gguf.h"
#include "support/temporary_folder.h"

namespace st::families {
namespace {

using testkit::error_of;
using testkit::GgufChange;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr const char* kNotPart =
    "not part of this architecture as we know it, results would be wrong without it";

std::string load_error(const std::string& folder, const GgufChange& change) {
  static const TemporaryFolder workspace;
  const std::string path = workspace / "changed.gguf";
  write_changed(converted(folder, DType::kF32), change, path);
  return error_of([&] { Engine(path, {.threads = 1}); });
}

struct Key {
  std::string key;
  GgufValue value;
  std::string error;  // after "key " and the key
};

void expect_errors(const std::string& folder, const std::string& prefix,
                   const std::vector<Key>& keys) {
  for (const auto& [key, value, error] : keys) {
    EXPECT_EQ(load_error(folder, {.entries = {{prefix + key, value}}}),
              "key " + prefix + key + error);
  }
}

GgufValue u32(uint32_t value) { return GgufValue::u32(value); }
GgufValue f32(float value) { return GgufValue::f32(value); }
GgufValue ints(const std::vector<int32_t>& values) {
  return GgufValue::array(GgufArray::of(values));
}

TEST(HostileQwen3, Keys) {
  EXPECT_EQ(load_error("micro-qwen3", {}), "no error");
  EXPECT_EQ(load_error("micro-qwen3", {.drop = "qwen3.feed_forward_length"}),
            "key qwen3.feed_forward_length: missing");
  EXPECT_EQ(load_error("micro-qwen3", {.drop = "qwen3.attention.key_length"}),
            "key qwen3.attention.key_length 21 is odd");
  expect_errors("micro-qwen3", "qwen3.",
                {{"feed_forward_length", u32(0), " 0: want 1..1048576"},
                 {"feed_forward_length", u32(1 << 21), " 2097152: want 1..1048576"},
                 {"feed_forward_length", GgufValue::string("1"), ": want u32, got string"},
                 {"attention.value_length", u32(64), " 64 unsupported, want 32"},
                 {"expert_weights_norm", GgufValue::boolean(false), " false unsupported, want 1"},
                 {"expert_count", u32(4), " 4: not understood, results could be wrong"},
                 {"final_logit_softcapping", f32(30), " 30 unsupported, want 0"}});
}

TEST(HostileQwen3, AnotherGatingFunction) {
  for (const std::string folder : {"micro-qwen3moe", "micro-qwen3moe-odd", "micro-qwen3"}) {
    const std::string path = converted(folder, DType::kF32);
    const std::string family = folder == "micro-qwen3" ? "qwen3" : "qwen3moe";
    EXPECT_EQ(error_of([&] { Model(path, {.gating = Gating::kSigmoid}); }),
              "--moe-gating: models of '" + family + "' have one gating function");
  }
}

TEST(HostileQwen3, Windows) {
  EXPECT_EQ(load_error("micro-qwen3", {.entries = {{"qwen3.attention.sliding_window", u32(16)}}}),
            "key qwen3.attention.sliding_window_pattern: missing, but "
            "qwen3.attention.sliding_window is 16");
  EXPECT_EQ(
      load_error("micro-qwen3",
                 {.entries = {{"qwen3.attention.sliding_window_pattern", ints({0, 0, 1, 0})}}}),
      "layer 2 slides but qwen3.attention.sliding_window is 0");
  const auto both = [](const GgufValue& pattern) {
    return load_error("micro-qwen3",
                      {.entries = {{"qwen3.attention.sliding_window", u32(16)},
                                   {"qwen3.attention.sliding_window_pattern", pattern}}});
  };
  EXPECT_EQ(both(ints({0, 1, 0, 1})), "no error");
  EXPECT_EQ(both(ints({0, 1})),
            "key qwen3.attention.sliding_window_pattern: 2 entries for 4 layers");
  EXPECT_EQ(both(u32(4)), "key qwen3.attention.sliding_window_pattern: want array of i32, got u32");
}

TEST(HostileQwen3, Yarn) {
  const auto yarn = [](const char* key, GgufValue value) {
    return load_error("micro-qwen3",
                      {.entries = {{"qwen3.rope.scaling.type", GgufValue::string("yarn")},
                                   {"qwen3.rope.scaling.factor", f32(4)},
                                   {std::string("qwen3.rope.scaling.") + key, std::move(value)}}});
  };
  const std::string key = "key qwen3.rope.scaling.";
  EXPECT_EQ(yarn("original_context_length", u32(64)), "no error");
  EXPECT_EQ(load_error("micro-qwen3",
                       {.entries = {{"qwen3.rope.scaling.type", GgufValue::string("yarn")}}}),
            "key qwen3.rope.scaling.factor: missing, but qwen3.rope.scaling.type is 'yarn'");
  EXPECT_EQ(yarn("original_context_length", u32(1 << 28)),
            key + "original_context_length 268435456: want 0..134217728");
  EXPECT_EQ(yarn("factor", f32(0)), key + "factor 0: want a finite number above 0");
  EXPECT_EQ(yarn("factor", f32(kInfinity)), key + "factor inf: want a finite number above 0");
  EXPECT_EQ(yarn("factor", u32(4)), key + "factor: want f32, got u32");
  EXPECT_EQ(yarn("attn_factor", f32(-1)), key + "attn_factor -1: want a finite number above 0");
  EXPECT_EQ(
      load_error("micro-qwen3", {.entries = {{"qwen3.rope.scaling.type", GgufValue::string("yarn")},
                                             {"qwen3.rope.scaling.factor", f32(16)},
                                             {"qwen3.rope.scaling.attn_factor", f32(-0.1f)}}}),
      key + "attn_factor -0.1: want a finite number above 0");
  EXPECT_EQ(yarn("yarn_beta_fast", f32(1)),
            key + "yarn_beta_fast 1: want more than yarn_beta_slow 1");
  EXPECT_EQ(yarn("yarn_beta_slow", f32(0)), key + "yarn_beta_slow 0: want a finite number above 0");
  EXPECT_EQ(yarn("yarn_ext_factor", f32(0.5f)),
            key + "yarn_ext_factor 0.5: not understood, results could be wrong");
  EXPECT_EQ(yarn("type", GgufValue::string("dynamic")), key + "type 'dynamic' unsupported");
}

TEST(HostileQwen3, Tensors) {
  for (const std::string name :
       {"attn_q_norm", "attn_k_norm", "attn_norm", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down"}) {
    const std::string tensor = "blk.1." + name + ".weight";
    EXPECT_EQ(load_error("micro-qwen3", {.drop_tensor = tensor}),
              "tensor '" + tensor + "': missing");
  }
  for (const std::string name : {"blk.0.attn_q.bias", "blk.0.ffn_gate_inp.weight",
                                 "blk.0.ffn_gate_exps.weight", "blk.4.attn_q.weight"}) {
    EXPECT_EQ(load_error("micro-qwen3", {.tensor = name}), "tensor '" + name + "': " + kNotPart);
  }
  EXPECT_EQ(load_error("micro-qwen3-untied", {.drop_tensor = "output.weight"}), "no error");
}

TEST(HostileQwen3Moe, Keys) {
  EXPECT_EQ(load_error("micro-qwen3moe", {.drop = "qwen3moe.expert_count"}),
            "key qwen3moe.expert_count: missing");
  EXPECT_EQ(load_error("micro-qwen3moe", {.drop = "qwen3moe.expert_used_count"}),
            "key qwen3moe.expert_used_count: missing");
  expect_errors("micro-qwen3moe", "qwen3moe.",
                {{"expert_count", u32(0), " 0: want 1..1024"},
                 {"expert_count", u32(1025), " 1025: want 1..1024"},
                 {"expert_used_count", u32(0), " 0: want 1..64"},
                 {"expert_used_count", u32(17), " 17 > expert_count 16"},
                 {"expert_feed_forward_length", u32(0), " 0: want 1..1048576"},
                 {"expert_weights_norm", u32(1), ": want bool, got u32"},
                 {"expert_gating_func", u32(2), " 2 unsupported, want 1 (softmax)"},
                 {"expert_weights_scale", f32(2.5f), " 2.5 unsupported, want 1"},
                 {"expert_shared_count", u32(1), " 1 unsupported, want 0"},
                 {"leading_dense_block_count", u32(1), " 1 unsupported, want 0"}});
  EXPECT_EQ(load_error("micro-qwen3moe", {.entries = {{"qwen3moe.expert_count", u32(8)}}}),
            "tensor 'blk.0.ffn_gate_inp.weight': shape [128,16], want [128,8]");
  EXPECT_EQ(load_error("micro-qwen3moe-odd", {.drop = "qwen3moe.feed_forward_length"}),
            "key qwen3moe.feed_forward_length 0: want 1..1048576");
}

// llama.cpp's rule for the width that is not there: 384 / 4, which is not that of the tensors.
TEST(HostileQwen3Moe, AWidthThatIsNotThere) {
  EXPECT_EQ(load_error("micro-qwen3moe", {.drop = "qwen3moe.expert_feed_forward_length"}),
            "tensor 'blk.0.ffn_gate_exps.weight': shape [128,64,16], want [128,96,16]");
  EXPECT_EQ(load_error("micro-qwen3moe", {.drop = "qwen3moe.expert_feed_forward_length",
                                          .entries = {{"qwen3moe.feed_forward_length", u32(256)}}}),
            "no error");
}

TEST(HostileQwen3Moe, Tensors) {
  for (const std::string name : {"ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"}) {
    const std::string tensor = "blk.1." + name + ".weight";
    EXPECT_EQ(load_error("micro-qwen3moe", {.drop_tensor = tensor}),
              "tensor '" + tensor + "': missing");
  }
  EXPECT_EQ(load_error("micro-qwen3moe", {.tensor = "blk.0.ffn_gate.weight"}),
            std::string("tensor 'blk.0.ffn_gate.weight': ") + kNotPart);
}

}  // namespace
}  // namespace st::families

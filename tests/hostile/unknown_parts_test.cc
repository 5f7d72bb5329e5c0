// Files with a part that this program does not know, or that says something it does not do: without
// it a model would run and compute something else, so each is refused by name.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "convert/bundle_file.h"
#include "convert/convert.h"
#include "engine/engine.h"
#include "engine/perplexity.h"
#include "format/gguf_model.h"
#include "support/bytes.h"
#include "support/changed_gguf.h"
#include "support/feed_at.h"
#include "support/shipped.h"

namespace st {
namespace {

using testkit::contains;
using testkit::error_of;
namespace fs = std::filesystem;

struct UnknownParts : testing::Test {
  static inline std::string folder, good;

  static void SetUpTestSuite() {
    std::string pattern = (fs::temp_directory_path() / "st-unknown-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
    good = folder + "/good.gguf";
    const std::string models = testkit::shipped("variants/");
    convert_hf({.folder = models + "micro-4b-style", .outfile = good});
  }
  static void TearDownTestSuite() { fs::remove_all(folder); }

  using Change = testkit::GgufChange;

  static std::string changed(const Change& change) {
    const std::string path = folder + "/changed.gguf";
    testkit::write_changed(good, change, path);
    return path;
  }

  static std::string load_error(const Change& change) {
    return error_of([&] { Engine(changed(change), {.threads = 1}); });
  }
  static std::string error_with(const std::string& key, GgufValue value) {
    return load_error({.entries = {{key, std::move(value)}}});
  }
  static std::string error_with(const std::string& key, uint32_t value) {
    return error_with(key, GgufValue::u32(value));
  }
  static std::string error_with(const std::string& key, float value) {
    return error_with(key, GgufValue::f32(value));
  }
  static std::string error_with(const std::string& key, const char* value) {
    return error_with(key, GgufValue::string(value));
  }
  static std::string error_with(const std::string& key, bool value) {
    return error_with(key, GgufValue::boolean(value));
  }

  // What a load tells.
  static std::vector<std::string> notices(const Change& change) {
    return Engine(changed(change), {.threads = 1}).notices();
  }
  static std::vector<float> logits(const Change& change) {
    Engine engine(changed(change), {.threads = 1});
    const std::vector<Token> tokens{5, 6, 7, 8, 9};
    const auto rows = engine.evaluate(testkit::feed_at(engine, tokens, 0, true));
    return {rows.begin(), rows.end()};
  }
};

TEST_F(UnknownParts, TheGoodFileLoadsWithoutAWord) {
  EXPECT_EQ(load_error({}), "no error");
  EXPECT_EQ(notices({}), std::vector<std::string>());
}

TEST_F(UnknownParts, Tensors) {
  for (const std::string name :
       {"blk.0.attn_q.bias", "blk.0.attn_q_norm.weight", "blk.0.attn_k_norm.weight",
        "blk.0.attn_output.bias", "blk.1.ffn_gate.weight", "blk.0.ffn_up_shexp.weight",
        "blk.0.exp_probs_b.bias", "blk.0.ffn_gate_inp.bias", "blk.0.ffn_up_exps.bias",
        "blk.0.post_attention_norm.weight", "blk.99.attn_q.weight", "rope_freqs.weight",
        "output.bias", "token_embd_norm.weight", "made.up"}) {
    EXPECT_EQ(load_error({.tensor = name}),
              "tensor '" + name +
                  "': not part of this architecture as we know it, results would be wrong without "
                  "it");
  }
}

TEST_F(UnknownParts, KeysOfTheArchitecture) {
  EXPECT_EQ(error_with("smallthinker.made_up", 7u),
            "key smallthinker.made_up 7: not understood, results could be wrong");
  EXPECT_EQ(error_with("smallthinker.rope.scaling.yarn_beta_fast", 32.5f),
            "key smallthinker.rope.scaling.yarn_beta_fast 32.5: not understood, results could be "
            "wrong");
  EXPECT_EQ(error_with("adapter.type", "lora"),
            "key adapter.type 'lora': not understood, results could be wrong");
  EXPECT_EQ(error_with("general.type", "adapter"), "key general.type 'adapter': want 'model'");
  EXPECT_EQ(error_with("general.quantization_version", 1u),
            "key general.quantization_version 1: want 2");
}

TEST_F(UnknownParts, ValuesThatAreNotImplemented) {
  const auto only = [](const std::string& key, auto value, const std::string& want) {
    const std::string error = error_with("smallthinker." + key, value);
    EXPECT_TRUE(error.starts_with("key smallthinker." + key + " ") &&
                error.ends_with(" unsupported, want " + want))
        << error;
  };
  only("attention.causal", false, "1");
  only("attention.clamp_kqv", 8.0f, "0");
  only("attention.scale", 0.5f, "0.17677669");
  only("attention.value_length", 8u, "32");
  only("attn_logit_softcapping", 50.0f, "0");
  only("expert_group_count", 4u, "1");
  only("expert_shared_count", 1u, "0");
  only("expert_weights_norm", false, "1");
  only("expert_weights_scale", 2.5f, "1");
  only("final_logit_softcapping", 30.0f, "0");
  only("leading_dense_block_count", 1u, "0");
  only("logit_scale", 0.5f, "1");
  only("rope.dimension_count", 8u, "32");
  only("rope.freq_base_swa", 10'000.0f, "1000000");
  only("rope.scaling.attn_factor", 2.0f, "1");
  only("vocab_size", 7u, "4096");
  EXPECT_EQ(error_with("smallthinker.attention.sliding_window_pattern", 4u),
            "key smallthinker.attention.sliding_window_pattern 4: differs from the layers that "
            "slide");
}

TEST_F(UnknownParts, ValuesThatChangeNothing) {
  const std::string k = "smallthinker.";
  EXPECT_EQ(load_error({.entries = {{k + "attention.causal", GgufValue::boolean(true)},
                                    {k + "attention.scale", GgufValue::f32(0.17677669f)},
                                    {k + "rope.dimension_count", GgufValue::u32(32)},
                                    {k + "vocab_size", GgufValue::u32(4096)},
                                    {k + "expert_weights_scale", GgufValue::f32(1)},
                                    {k + "expert_shared_count", GgufValue::u32(0)},
                                    {k + "expert_weights_norm", GgufValue::boolean(true)}}}),
            "no error");
}

TEST_F(UnknownParts, KeysOfTheVocabulary) {
  EXPECT_EQ(error_with("tokenizer.ggml.made_up", 7u),
            "key tokenizer.ggml.made_up 7: not understood, tokens could be wrong");
  EXPECT_EQ(error_with("tokenizer.ggml.add_space_prefix", true),
            "key tokenizer.ggml.add_space_prefix true: not understood, tokens could be wrong");
  EXPECT_EQ(error_with("tokenizer.ggml.add_eos_token", true),
            "key tokenizer.ggml.add_eos_token true: not understood, tokens could be wrong");
  EXPECT_EQ(error_with("tokenizer.ggml.add_space_prefix", false), "no error");
  const Engine engine(changed({.entries = {{"tokenizer.ggml.eot_token_id", GgufValue::u32(40)}}}),
                      {.threads = 1});
  EXPECT_TRUE(engine.tokenizer().is_end_of_generation(40));
}

// Windows of a text begin with BOS where the file says so, whatever stood there.
TEST_F(UnknownParts, BosBeginsTexts) {
  const auto likelihood = [](bool add_bos, Token first) {
    Engine engine(
        changed({.entries = {{"tokenizer.ggml.add_bos_token", GgufValue::boolean(add_bos)}}}),
        {.threads = 1});
    const std::vector<Token> tokens = {first, 5, 6, 7, first, 8, 9};
    return perplexity(engine, tokens, 4, {}).nll;
  };
  const Token bos = 4077;
  EXPECT_EQ(likelihood(true, 1), likelihood(true, 2));
  EXPECT_EQ(likelihood(true, 1), likelihood(false, bos));
  EXPECT_NE(likelihood(false, 1), likelihood(false, 2));
}

TEST_F(UnknownParts, WhatOnlyDescribesIsAcceptedAndListed) {
  const std::vector<std::string> keys{"general.license", "quantize.imatrix.file", "somebody.note"};
  std::vector<GgufEntry> entries;
  for (const std::string& key : keys) entries.push_back({key, GgufValue::string("x")});
  const Engine engine(changed({.entries = entries}), {.threads = 1});
  for (const std::string& key : keys) {
    EXPECT_EQ(std::ranges::count(engine.model().ignored_keys(), key), 1) << key;
  }
  EXPECT_EQ(engine.notices(), std::vector<std::string>());
}

TEST_F(UnknownParts, GuessesAreTold) {
  const auto told = [](const std::string& key) {
    const auto lines = notices({.drop = key});
    return lines.size() == 1 ? lines[0] : fmt::format("{} lines", lines.size());
  };
  EXPECT_EQ(told("smallthinker.rope.freq_base"),
            "no rope.freq_base in the file: using 10000, as llama.cpp does; models of this family "
            "have another");
  EXPECT_EQ(told("smallthinker.attention.layer_norm_rms_epsilon"),
            "no attention.layer_norm_rms_epsilon in the file: using 1e-06");
  EXPECT_TRUE(contains(told("smallthinker.expert_gating_func"), "no expert gating function"));
  EXPECT_EQ(told("tokenizer.ggml.pre"), "no tokenizer.ggml.pre in the file: using qwen2");
}

TEST_F(UnknownParts, LinearRopeScaling) {
  const std::string factor = "smallthinker.rope.scaling.factor";
  const std::string older = "smallthinker.rope.scale_linear";
  const std::string type = "smallthinker.rope.scaling.type";
  const auto plain = logits({});
  const auto four = logits({.entries = {{factor, GgufValue::f32(4)}}});
  EXPECT_NE(four, plain);
  EXPECT_EQ(logits({.entries = {{older, GgufValue::f32(4)}}}), four);
  EXPECT_EQ(logits({.entries = {{factor, GgufValue::f32(4)}, {type, GgufValue::string("linear")}}}),
            four);
  EXPECT_EQ(logits({.entries = {{factor, GgufValue::f32(1)}}}), plain);
  EXPECT_EQ(logits({.entries = {{type, GgufValue::string("none")}}}), plain);
  EXPECT_EQ(
      load_error({.entries = {{factor, GgufValue::f32(4)}, {type, GgufValue::string("none")}}}),
      "key smallthinker.rope.scaling.factor 4, but smallthinker.rope.scaling.type 'none'");
  EXPECT_EQ(error_with(factor, 0.0f),
            "key smallthinker.rope.scaling.factor 0: want a finite number above 0");
  EXPECT_EQ(error_with(factor, std::numeric_limits<float>::infinity()),
            "key smallthinker.rope.scaling.factor inf: want a finite number above 0");
  EXPECT_EQ(error_with(type, "longrope"),
            "key smallthinker.rope.scaling.type 'longrope' unsupported");
  EXPECT_EQ(load_error({.entries = {{factor, GgufValue::f32(4)}, {older, GgufValue::f32(2)}}}),
            "key smallthinker.rope.scaling.factor 4: differs from smallthinker.rope.scale_linear "
            "2");
}

TEST_F(UnknownParts, AnOverriddenKeyIsUnderstood) {
  EXPECT_EQ(error_of([] { Model(good, {.gating = Gating::kSoftmax}); }), "no error");
}

// A bundle is a model like another.
TEST_F(UnknownParts, OurBundlesAreUnderstood) {
  const std::string out = folder + "/bundle.gguf";
  write_bundle({.input = good, .output = out});
  EXPECT_EQ(error_of([&] { Engine(out, {.threads = 1}); }), "no error");
}

// Writers of files drop nothing that they do not understand.
TEST_F(UnknownParts, BundlesAndStrippedFiles) {
  const std::string path = changed({.tensor = "blk.0.ffn_up_exps.bias"});
  const std::string out = folder + "/out.gguf";
  EXPECT_EQ(error_of([&] { write_bundle({.input = path, .output = out}); }),
            path +
                ": tensor 'blk.0.ffn_up_exps.bias': not part of this architecture as we know "
                "it, results would be wrong without it");
  EXPECT_EQ(error_of([&] { strip_file(path, out, {}); }),
            path +
                ": tensor 'blk.0.ffn_up_exps.bias': no bundle has it, results would be wrong "
                "without");
  EXPECT_FALSE(fs::exists(out));
}

// The good file without its last norm, which is in a second part, with so many values, beside
// `more`.
struct Split : UnknownParts {
  static std::string part(int i) { return fmt::format("{}/s-{:05}-of-00002.gguf", folder, i); }

  static std::string load_error(uint64_t values, const std::string& more) {
    const GgufModel model(good);
    GgufWriter first, second;
    for (const GgufEntry& entry : model.metadata().entries()) first.set(entry.key, entry.value);
    first.set("split.count", GgufValue::u32(2));
    std::vector<GgufModel::Tensor> tensors = model.tensors();
    std::erase_if(tensors, [](const auto& t) { return t.info->name == "output_norm.weight"; });
    for (const auto& [info, source] : tensors) first.add_tensor(info->name, info->type, info->ne);
    first.begin(part(1));
    for (const auto& [info, source] : tensors) {
      std::vector<std::byte> data(info->bytes);
      source->read_at(info->offset, data);
      first.write(data);
    }
    first.finish();
    second.add_tensor("output_norm.weight", DType::kF32, {values});
    if (!more.empty()) second.add_tensor(more, DType::kF32, {1});
    second.begin(part(2));
    const std::vector<float> ones(values, 1);
    second.write(std::as_bytes(std::span(ones)));
    if (!more.empty()) second.write(std::vector<std::byte>(sizeof(float)));
    second.finish();
    return error_of([] { Engine(part(1), {.threads = 1}); });
  }
};

TEST_F(Split, ThePartAtFaultIsNamed) {
  EXPECT_EQ(load_error(128, ""), "no error");
  EXPECT_EQ(load_error(64, ""), part(2) + ": tensor 'output_norm.weight': shape [64], want [128]");
  EXPECT_EQ(load_error(128, "made.up"),
            part(2) +
                ": tensor 'made.up': not part of this architecture as we know it, results "
                "would be wrong without it");
}

// What is left of a download that was cut may have the size of the whole. Of several weights the
// first is named that a pass reads.
TEST_F(UnknownParts, ZerosInsteadOfWeights) {
  const std::string path = changed({});
  const uint64_t size = fs::file_size(path);
  const GgufModel model(path);
  const uint64_t norm = model.find("blk.2.attn_norm.weight").info->offset;
  fs::resize_file(path, norm);
  fs::resize_file(path, size);
  EXPECT_EQ(error_of([&] { Engine(path, {.threads = 1}); }),
            "tensor 'output_norm.weight': nothing but zeros; incomplete download?");
}

// A list of tokens longer than the vocabulary is not made a vocabulary of first.
TEST_F(UnknownParts, MoreTokensThanRows) {
  const auto tokens = GgufArray::of(std::vector<std::string>(4097, "x"));
  EXPECT_EQ(error_with("tokenizer.ggml.tokens", GgufValue::array(tokens)),
            "4097 tokens for a vocabulary of 4096 rows");
}

}  // namespace
}  // namespace st

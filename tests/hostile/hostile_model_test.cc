// Well-formed GGUF files that are wrong as models: rows G12-G14 and G18 of the checklist, and
// others. Each takes a good file, breaks one thing, and must be refused with a line that names it.
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "convert/convert.h"
#include "engine/engine.h"
#include "engine/generate.h"
#include "format/gguf_model.h"
#include "support/bytes.h"
#include "support/feed_at.h"
#include "support/shipped.h"

namespace st {
namespace {

using testkit::error_of;
namespace fs = std::filesystem;

struct Hostile : testing::Test {
  static inline std::string folder, good;

  static void SetUpTestSuite() {
    std::string pattern = (fs::temp_directory_path() / "st-hostile-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
    good = folder + "/good.gguf";
    const std::string models = testkit::shipped("");
    convert_hf({.folder = models + "model",
                .outfile = good,
                .predictor = models + "model/model_lm_head.pt"});
  }
  static void TearDownTestSuite() { fs::remove_all(folder); }

  using EditEntries = std::function<void(std::vector<GgufEntry>&)>;
  // Returns the dimensions a tensor is to have; empty: leave it out.
  using EditTensor = std::function<std::vector<uint64_t>(const GgufTensor&)>;

  static std::vector<uint64_t> keep(const GgufTensor& tensor) { return tensor.ne; }

  // A copy of the good file with other metadata and other shapes (data zeroed where the shape
  // changed).
  static std::string edited(const EditEntries& edit, const EditTensor& shape = keep) {
    const GgufModel model(good);
    std::vector<GgufEntry> entries = model.metadata().entries();
    edit(entries);
    GgufWriter out;
    for (GgufEntry& entry : entries) out.set(entry.key, std::move(entry.value));
    std::vector<GgufModel::Tensor> kept;
    for (const auto& tensor : model.tensors()) {
      const auto ne = shape(*tensor.info);
      if (ne.empty()) continue;
      out.add_tensor(tensor.info->name, tensor.info->type, ne);
      kept.push_back(tensor);
    }
    const std::string path = folder + "/edited.gguf";
    out.begin(path);
    for (size_t i = 0; i < kept.size(); ++i) {
      const uint64_t bytes = out.tensors()[i].bytes;
      std::vector<std::byte> data(bytes);
      if (bytes == kept[i].info->bytes) kept[i].source->read_at(kept[i].info->offset, data);
      out.write(data);
    }
    out.finish();
    return path;
  }

  static GgufValue& at(std::vector<GgufEntry>& entries, std::string_view key) {
    for (GgufEntry& entry : entries) {
      if (entry.key == key) return entry.value;
    }
    ADD_FAILURE() << key;
    return entries.front().value;
  }
  static void erase(std::vector<GgufEntry>& entries, std::string_view key) {
    std::erase_if(entries, [&](const GgufEntry& entry) { return entry.key == key; });
  }

  static std::string load_error(const std::string& path) {
    return error_of([&] { Engine(path, {.threads = 1}); });
  }
  static std::string error_with_u32(const std::string& key, uint32_t value) {
    return load_error(edited([&](auto& entries) { at(entries, key) = GgufValue::u32(value); }));
  }
  static std::string error_without(const std::string& key) {
    return load_error(edited([&](auto& entries) { erase(entries, key); }));
  }
  static std::string error_with_shape(std::string_view name, std::vector<uint64_t> ne) {
    return load_error(
        edited([](auto&) {}, [&](const GgufTensor& t) { return t.name == name ? ne : t.ne; }));
  }
};

TEST_F(Hostile, TheGoodFileLoads) { EXPECT_EQ(load_error(good), "no error"); }

TEST_F(Hostile, G12_NumbersOutOfRange) {
  for (const uint32_t n : {0u, 513u, 100'000u}) {
    EXPECT_EQ(error_with_u32("smallthinker.block_count", n),
              "key smallthinker.block_count " + std::to_string(n) + ": want 1..512");
  }
  EXPECT_EQ(error_with_u32("smallthinker.expert_count", 0),
            "key smallthinker.expert_count 0: want 1..1024");
  EXPECT_EQ(error_with_u32("smallthinker.expert_count", 65),
            "tensor 'blk.0.ffn_gate_inp.weight': shape [256,16], want [256,65]");
  EXPECT_EQ(error_with_u32("smallthinker.expert_count", 1u << 31),
            "key smallthinker.expert_count 2147483648: want 1..1024");
  EXPECT_EQ(error_with_u32("smallthinker.expert_used_count", 0),
            "key smallthinker.expert_used_count 0: want 1..64");
  EXPECT_EQ(error_with_u32("smallthinker.expert_used_count", 17),
            "key smallthinker.expert_used_count 17 > expert_count 16");
  EXPECT_EQ(error_with_u32("smallthinker.attention.head_count", 0),
            "key smallthinker.attention.head_count 0: want 1..1024");
  EXPECT_EQ(error_with_u32("smallthinker.attention.head_count_kv", 0),
            "key smallthinker.attention.head_count_kv 0: want 1..1024");
  EXPECT_EQ(error_with_u32("smallthinker.attention.head_count_kv", 3),
            "key smallthinker.attention.head_count 4 is not a multiple of head_count_kv 3");
  EXPECT_EQ(error_with_u32("smallthinker.attention.key_length", 63),
            "key smallthinker.attention.key_length 63 is odd");
  EXPECT_EQ(error_with_u32("smallthinker.embedding_length", 0),
            "key smallthinker.embedding_length 0: want 1..65536");
  EXPECT_EQ(error_with_u32("smallthinker.context_length", 0),
            "key smallthinker.context_length 0: want 1..134217728");
  EXPECT_EQ(error_with_u32("smallthinker.expert_feed_forward_length", 100),
            "tensor 'blk.0.ffn_gate_exps.weight': shape [256,128,16], want [256,100,16]");
  EXPECT_EQ(error_with_u32("smallthinker.attention.sliding_window", 0),
            "layer 1 slides but smallthinker.attention.sliding_window is 0");
  EXPECT_EQ(error_with_u32("smallthinker.expert_gating_func", 9),
            "key smallthinker.expert_gating_func 9: want 1 (softmax) or 2 (sigmoid)");
  for (const char* key :
       {"general.architecture", "smallthinker.block_count", "smallthinker.embedding_length",
        "smallthinker.attention.head_count", "smallthinker.expert_count",
        "smallthinker.expert_used_count", "smallthinker.context_length"}) {
    EXPECT_EQ(error_without(key), std::string("key ") + key + ": missing");
  }
  const std::string other = load_error(edited(
      [](auto& entries) { at(entries, "general.architecture") = GgufValue::string("\x1b[2J"); }));
  EXPECT_EQ(other,
            "architecture '\\x1b[2J' unsupported (known: smallthinker, qwen3, qwen3moe, gemma3n)");
}

TEST_F(Hostile, G12_Layouts) {
  const auto with = [](const std::vector<int32_t>& layout) {
    return load_error(edited([&](auto& entries) {
      at(entries, "smallthinker.rope_layout") = GgufValue::array(GgufArray::of(std::span(layout)));
    }));
  };
  EXPECT_EQ(with({1, 0}), "key smallthinker.rope_layout: 2 entries for 8 layers");
}

TEST_F(Hostile, G13_ShapesAndMissingTensors) {
  EXPECT_EQ(error_with_shape("blk.0.ffn_up_exps.weight", {256, 128, 15}),
            "tensor 'blk.0.ffn_up_exps.weight': shape [256,128,15], want [256,128,16]");
  EXPECT_EQ(error_with_shape("blk.3.attn_q.weight", {256, 128}),
            "tensor 'blk.3.attn_q.weight': shape [256,128], want [256,256]");
  EXPECT_EQ(error_with_shape("blk.3.attn_norm.weight", {255}),
            "tensor 'blk.3.attn_norm.weight': shape [255], want [256]");
  for (const char* name : {"token_embd.weight", "output_norm.weight", "blk.7.ffn_gate_inp.weight",
                           "blk.7.ffn_down_exps.weight", "blk.0.attn_k.weight"}) {
    EXPECT_EQ(error_with_shape(name, {}), std::string("tensor '") + name + "': missing");
  }
  EXPECT_EQ(error_with_shape("token_embd.weight", {256, 100}),
            "4096 tokens for a vocabulary of 100 rows");
  EXPECT_EQ(error_with_shape("token_embd.weight", {256, 5000}),
            "tensor 'output.weight': shape [256,4096], want [256,5000]");
}

TEST_F(Hostile, G14_Vocabulary) {
  const auto with = [](const char* key, GgufValue value) {
    return load_error(edited([&](auto& entries) { at(entries, key) = value; }));
  };
  GgufArray types{
      .type = GgufType::kU8, .count = 4096, .packed = std::vector<std::byte>(4096), .strings = {}};
  EXPECT_EQ(with("tokenizer.ggml.token_type", GgufValue::array(types)),
            "tokenizer.ggml.token_type: want array of i32, got u8");
  EXPECT_EQ(
      with("tokenizer.ggml.tokens", GgufValue::array(GgufArray::of(std::vector<std::string>{"a"}))),
      "tokenizer.ggml.token_type: 4096 entries for 1 tokens");
  EXPECT_EQ(with("tokenizer.ggml.bos_token_id", GgufValue::u32(4096)),
            "tokenizer.ggml.bos_token_id: 4096 is not one of 4096 tokens");
  EXPECT_EQ(with("tokenizer.ggml.eos_token_id", GgufValue::u32(UINT32_MAX)),
            "tokenizer.ggml.eos_token_id: 4294967295 is not one of 4096 tokens");
  EXPECT_EQ(with("tokenizer.ggml.merges",
                 GgufValue::array(GgufArray::of(std::vector<std::string>{"zz yy"}))),
            "merges[0]: 'yy' not in vocab");
  EXPECT_EQ(with("tokenizer.ggml.pre", GgufValue::string("llama-bpe")),
            "pre-tokenizer 'llama-bpe': only 'qwen2' is supported");
  EXPECT_EQ(
      with("tokenizer.ggml.model", GgufValue::string("bert")),
      "tokenizer.ggml.model: 'bert', only 'gpt2' (byte-level BPE) and 'llama' (SentencePiece) "
      "are supported");
}

TEST_F(Hostile, G18_Predictor) {
  EXPECT_EQ(error_with_shape("lm_head_profiler.weight", {1000}),
            "lm-head predictor: 1000 weights do not fit D=256 V=4096");
  EXPECT_EQ(error_with_shape("lm_head_profiler.weight", {32 * 4352 + 32}),
            "lm-head predictor: 139296 weights do not fit D=256 V=4096");
}

TEST_F(Hostile, NonsenseWeightsAreNoticedNotPrinted) {
  const std::string path = edited([](auto&) {});
  {
    const GgufModel model(path);
    const auto tensor = model.find("output_norm.weight");
    const float nan = std::nanf("");
    std::FILE* file = std::fopen(path.c_str(), "r+b");
    ASSERT_NE(file, nullptr);
    std::fseek(file, static_cast<long>(tensor.info->offset), SEEK_SET);
    std::fwrite(&nan, sizeof(nan), 1, file);
    std::fclose(file);
  }
  Engine engine(path, {.threads = 1});
  const std::vector<Token> tokens{1, 2, 3};
  EXPECT_EQ(error_of([&] { engine.evaluate(testkit::feed_at(engine, tokens, 0, false)); }),
            path + ": the model computed a logit that is not a finite number");
}

TEST_F(Hostile, PromptsAtTheEdgeOfTheContext) {
  Engine engine(good, {.threads = 1, .context = 8});
  const auto run = [&](size_t n) {
    return generate(engine, std::vector<Token>(n, 100),
                    {.session = {.sampler = {.temperature = 0}}},
                    [](std::string_view) { return true; });
  };
  EXPECT_EQ(error_of([&] { run(9); }), "prompt 9 tokens > context 8; -c allows more");
  EXPECT_EQ(run(8).reason, FinishReason::kContextFull);
  EXPECT_EQ(run(8).generated_tokens, 1);
  EXPECT_EQ(run(7).generated_tokens, 2);
  EXPECT_EQ(run(0).prompt_tokens, 1);  // BOS
}

}  // namespace
}  // namespace st

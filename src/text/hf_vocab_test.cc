#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "support/damage.h"
#include "support/vocabularies.h"
#include "text/pretokenize.h"

namespace st {
namespace {

using nlohmann::json;
using testkit::error_of;

// A small tokenizer.json: the 256 bytes, "hi" (256), and three added tokens.
json small_tokenizer() {
  json vocab = {{"hi", 256}};
  for (int byte = 0; byte < 256; ++byte) vocab[byte_to_char(static_cast<uint8_t>(byte))] = byte;
  const auto added = [](int id, const char* content, bool special) {
    return json{{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
                {"rstrip", false}, {"normalized", false}, {"special", special}};
  };
  const json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  const json split = {{"type", "Split"},
                      {"pattern", {{"Regex", kQwen2Pattern}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  return {{"version", "1.0"},
          {"added_tokens",
           {added(257, "<s>", true), added(258, "<|x|>", false), added(260, "<think>", false)}},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {split, bytes}}}},
          {"post_processor", {{"type", "ByteLevel"}}},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", {"h i"}}}}};
}

Vocab parse(const json& tokenizer, const json& tokenizer_config = json::object(),
            const json& generation = json::object(), const json& config = json::object()) {
  return parse_hf_vocab({.tokenizer = tokenizer.dump(),
                         .tokenizer_config = tokenizer_config.dump(),
                         .generation_config = generation.dump(),
                         .config = config.dump(),
                         .chat_template = ""},
                        262);
}

TEST(HfVocab, ReadsTheTinyModel) {
  const Vocab vocab = read_hf_vocab(testkit::kTinyFolder, 4096);
  ASSERT_EQ(vocab.tokens.size(), 4096u);
  EXPECT_EQ(vocab.tokens[0], "!");
  EXPECT_EQ(vocab.tokens[4079], "<|im_end|>");
  EXPECT_EQ(vocab.types[4079], TokenType::kControl);
  EXPECT_EQ(vocab.tokens[4080], "[PAD4080]");
  EXPECT_EQ(vocab.types[4080], TokenType::kUnused);
  EXPECT_EQ(vocab.merges.size(), 3821u);
  EXPECT_EQ(vocab.pre, "qwen2");
  EXPECT_TRUE(vocab.nfc);
  EXPECT_EQ(vocab.bos, 4077);  // from generation_config.json
  EXPECT_EQ(vocab.eos, 4079);
  EXPECT_EQ(vocab.pad, 4077);
  EXPECT_FALSE(vocab.add_bos);
  EXPECT_EQ(vocab.end_of_generation, (std::vector<Token>{4077, 4079}));
  EXPECT_TRUE(vocab.chat_template.starts_with("{%- for message in messages -%}"));
}

TEST(HfVocab, TypesAndPadding) {
  const Vocab vocab = parse(small_tokenizer());
  ASSERT_EQ(vocab.tokens.size(), 262u);
  EXPECT_EQ(vocab.types[256], TokenType::kNormal);
  EXPECT_EQ(vocab.types[257], TokenType::kControl);
  EXPECT_EQ(vocab.types[258], TokenType::kControl);  // by its looks
  EXPECT_EQ(vocab.types[259], TokenType::kUnused);   // a gap
  EXPECT_EQ(vocab.tokens[259], "[PAD259]");
  EXPECT_EQ(vocab.types[260], TokenType::kUserDefined);
  EXPECT_EQ(vocab.tokens[261], "[PAD261]");
  const Vocab unpadded = parse_hf_vocab({.tokenizer = small_tokenizer().dump()}, 0);
  EXPECT_EQ(unpadded.tokens.size(), 261u);
}

TEST(HfVocab, MergesAsStringsOrPairs) {
  json tokenizer = small_tokenizer();
  tokenizer["model"]["merges"] = json::array({json::array({"h", "i"})});
  EXPECT_EQ(parse(tokenizer).merges, parse(small_tokenizer()).merges);
  EXPECT_EQ(parse(tokenizer).merges, std::vector<std::string>{"h i"});
}

TEST(HfVocab, NormalizerMayBeNull) {
  json tokenizer = small_tokenizer();
  tokenizer["normalizer"] = nullptr;
  EXPECT_FALSE(parse(tokenizer).nfc);
}

TEST(HfVocab, SpecialIds) {
  const json tokenizer = small_tokenizer();
  Vocab vocab = parse(tokenizer, {{"bos_token", nullptr},
                                  {"eos_token", {{"content", "<|x|>"}}},
                                  {"pad_token", "<s>"},
                                  {"add_bos_token", true}});
  EXPECT_EQ(std::tuple(vocab.bos, vocab.eos, vocab.pad), std::tuple(-1, 258, 257));
  EXPECT_TRUE(vocab.add_bos);
  EXPECT_EQ(vocab.end_of_generation, (std::vector<Token>{258}));

  const json ids = {{"bos_token_id", 7}, {"eos_token_id", {9, 8}}, {"pad_token_id", 6}};
  vocab = parse(tokenizer, {{"eos_token", "<s>"}}, ids);
  EXPECT_EQ(std::tuple(vocab.bos, vocab.eos, vocab.pad), std::tuple(7, 257, 6));
  EXPECT_EQ(vocab.end_of_generation, (std::vector<Token>{8, 9, 257}));
  vocab = parse(tokenizer, {{"bos_token", "<s>"}}, ids);
  EXPECT_EQ(std::tuple(vocab.bos, vocab.eos), std::tuple(257, 9));

  vocab = parse(tokenizer, json::object(), {{"eos_token_id", 5}}, ids);
  EXPECT_EQ(std::tuple(vocab.bos, vocab.eos), std::tuple(7, 5));
  EXPECT_EQ(vocab.end_of_generation, (std::vector<Token>{5}));
}

TEST(HfVocab, ChatTemplate) {
  using Named = std::map<std::string, std::string>;
  HfVocabFiles files = {.tokenizer = small_tokenizer().dump()};
  const auto chat_template = [&](const json& value) {
    files.tokenizer_config = json{{"chat_template", value}}.dump();
    return parse_hf_vocab(files, 0).chat_template;
  };
  EXPECT_EQ(chat_template(nullptr), "");
  EXPECT_EQ(chat_template("one"), "one");
  const json list = {{{"name", "tools"}, {"template", "t"}},
                     {{"name", "default"}, {"template", "d"}}};
  EXPECT_EQ(chat_template(list), "d");
  EXPECT_EQ(parse_hf_vocab(files, 0).named_chat_templates, (Named{{"tools", "t"}}));
  EXPECT_EQ(error_of([&] { chat_template(3); }),
            "tokenizer_config.json: chat_template: want a string, got 3");
  files.chat_template = "from its file";
  EXPECT_EQ(chat_template(list), "from its file");
  files.named_chat_templates = {{"tools", "another file"}, {"rag", "r"}};
  EXPECT_EQ(parse_hf_vocab(files, 0).named_chat_templates,
            (Named{{"rag", "r"}, {"tools", "another file"}}));
}

TEST(HfVocab, ReadsAFolder) {
  const std::string folder = testing::TempDir() + "/hf_vocab_test";
  std::filesystem::create_directory(folder);
  EXPECT_EQ(error_of([&] { read_hf_vocab(folder, 0); }),
            folder + "/tokenizer.json: cannot open: No such file or directory");
  std::ofstream(folder + "/vocab.json") << "{}";
  std::ofstream(folder + "/merges.txt") << "";
  EXPECT_EQ(error_of([&] { read_hf_vocab(folder, 0); }),
            folder +
                "/tokenizer.json: missing, and vocab.json with merges.txt is not enough: save it "
                "with AutoTokenizer.from_pretrained(...).save_pretrained(...)");
  std::ofstream(folder + "/tokenizer.json") << small_tokenizer();
  std::ofstream(folder + "/chat_template.jinja") << "{{ x }}";
  EXPECT_EQ(read_hf_vocab(folder, 0).chat_template, "{{ x }}");
  EXPECT_TRUE(read_hf_vocab(folder, 0).named_chat_templates.empty());
  std::filesystem::create_directory(folder + "/additional_chat_templates");
  std::ofstream(folder + "/additional_chat_templates/tool_use.jinja") << "{{ y }}";
  std::ofstream(folder + "/additional_chat_templates/README.md") << "no template";
  EXPECT_EQ(read_hf_vocab(folder, 0).named_chat_templates,
            (std::map<std::string, std::string>{{"tool_use", "{{ y }}"}}));
  std::ofstream(folder + "/generation_config.json") << "";
  EXPECT_EQ(error_of([&] { read_hf_vocab(folder, 0); }),
            folder +
                "/generation_config.json: not a JSON object: it is empty: was the download "
                "interrupted?");
  std::ofstream(folder + "/generation_config.json") << "{";
  EXPECT_EQ(error_of([&] { read_hf_vocab(folder, 0); }),
            folder + "/generation_config.json: invalid JSON at byte 2 (line 1, column 2)");
  std::filesystem::remove_all(folder);
}

// The error of a tokenizer.json with `value` at the JSON pointer `path`; without the file's name.
std::string error_with(const char* path, const json& value) {
  json tokenizer = small_tokenizer();
  tokenizer[json::json_pointer(path)] = value;
  std::string error = error_of([&] { Tokenizer{parse(tokenizer)}; });
  constexpr std::string_view kFile = "tokenizer.json: ";
  return error.starts_with(kFile) ? error.substr(kFile.size()) : error;
}

TEST(HfVocab, RefusesTokensThatCannotBe) {
  EXPECT_EQ(error_with("/version", "2.0"), "no error");
  EXPECT_EQ(error_with("/added_tokens/0/id", int64_t{1} << 31),
            "added_tokens[0]: id 2147483648 >= 2^24");
  EXPECT_EQ(error_with("/added_tokens/0/id", 262), "added_tokens[0]: id 262 >= vocab_size 262");
  EXPECT_EQ(error_with("/added_tokens/0/id", -1), "added_tokens[0]: id -1 < 0");
  EXPECT_EQ(error_with("/added_tokens/0/id", 258), "added_tokens[1]: id 258 is already '<s>'");
  EXPECT_EQ(error_with("/added_tokens/1/id", 256), "added_tokens[1]: id 256 is already 'hi'");
  EXPECT_EQ(error_with("/added_tokens/0/content", ""),
            "added_tokens[0]: content: missing or empty");
  EXPECT_EQ(error_with("/added_tokens/0/content", "<think>"),
            "tokens[260]: '<think>' is also token 257");
  EXPECT_EQ(error_with("/added_tokens/0", 5), "added_tokens[0]: want a JSON object");
  EXPECT_EQ(error_with("/added_tokens", 5), "added_tokens: want an array");
  EXPECT_EQ(error_with("/model/vocab/hi", 255), "vocab '\u00FF': id 255 is already 'hi'");
  EXPECT_EQ(error_with("/model/vocab/hi", 1 << 24), "vocab 'hi': id 16777216 >= 2^24");
  EXPECT_EQ(error_with("/model/vocab/hi", 262), "vocab 'hi': id 262 >= vocab_size 262");
  EXPECT_EQ(error_with("/model/vocab", json::array()), "model: vocab: want an object");
  EXPECT_EQ(error_with("/model/vocab", json::object()), "tokens: none for byte 0x00");
}

TEST(HfVocab, RefusesMergesThatCannotBe) {
  EXPECT_EQ(error_with("/model/merges/0", "a b"), "merges[0]: 'ab' not in vocab");
  EXPECT_EQ(error_with("/model/merges/0", json::array({"h", "i", "x"})),
            "merges[0]: want a string or a pair of strings");
  EXPECT_EQ(error_with("/model/merges/0", 5), "merges[0]: want a string or a pair of strings");
  EXPECT_EQ(error_with("/model/merges/0", json::array({"h i", "x"})),
            "merges[0]: want two pieces and a space, got 'h i x'");
  EXPECT_EQ(error_with("/model/merges", nullptr), "model: merges: want an array");
}

TEST(HfVocab, RefusesOtherTokenizers) {
  EXPECT_EQ(error_with("/model/type", "WordPiece"), "model: type 'WordPiece' is not supported");
  EXPECT_EQ(error_with("/model/dropout", 0.1), "model: dropout is not supported");
  EXPECT_EQ(error_with("/model/byte_fallback", true).substr(0, 38),
            "normalizer: {\"type\":\"NFC\"} unsupported");
  EXPECT_EQ(error_with("/model/ignore_merges", true), "model: ignore_merges is not supported");
  EXPECT_EQ(error_with("/model/continuing_subword_prefix", "##"),
            "model: continuing_subword_prefix '##' is not supported");
  EXPECT_EQ(error_with("/model", nullptr), "model: type 'null' is not supported");
  EXPECT_EQ(error_with("/normalizer/type", "NFKC"), "normalizer: type 'NFKC' is not supported");
  EXPECT_EQ(error_with("/post_processor/type", "TemplateProcessing"),
            "post_processor: type 'TemplateProcessing' is not supported");
  EXPECT_EQ(error_with("/decoder/type", "Metaspace"), "decoder: type 'Metaspace' is not supported");
  EXPECT_EQ(error_with("/pre_tokenizer", nullptr), "pre_tokenizer: type 'null' is not supported");
  EXPECT_EQ(error_with("/pre_tokenizer/pretokenizers", json::array()),
            "pre_tokenizer: want a sequence of Split and ByteLevel");
  EXPECT_EQ(error_with("/pre_tokenizer/pretokenizers/0/type", "Digits"),
            "pre_tokenizer[0]: type 'Digits' is not supported");
  EXPECT_EQ(error_with("/pre_tokenizer/pretokenizers/0/pattern/Regex", "(a+)+\n"),
            "pre_tokenizer: unknown pattern '(a+)+\\x0a'");
  EXPECT_EQ(error_with("/pre_tokenizer/pretokenizers/0/behavior", "Removed"),
            "pre_tokenizer: behavior 'Removed' is not supported");
  EXPECT_EQ(error_with("/pre_tokenizer/pretokenizers/0/invert", true),
            "pre_tokenizer: invert is not supported");
  EXPECT_EQ(error_with("/pre_tokenizer/pretokenizers/1/add_prefix_space", nullptr),
            "pre_tokenizer: add_prefix_space is not supported");
  EXPECT_EQ(error_with("/pre_tokenizer/pretokenizers/1/use_regex", true),
            "pre_tokenizer: use_regex is not supported");
  EXPECT_EQ(error_with("/added_tokens/2/lstrip", true), "added_tokens[2]: lstrip is not supported");
}

TEST(HfVocab, RefusesIdsThatAreNoToken) {
  const auto error_of_ids = [](const json& tokenizer_config, const json& generation) {
    return error_of([&] { parse(small_tokenizer(), tokenizer_config, generation); });
  };
  const json none = json::object();
  EXPECT_EQ(error_of_ids({{"eos_token", "<nope\x1b>"}}, none),
            "tokenizer_config.json: eos_token: '<nope\\x1b>' not in vocab");
  EXPECT_EQ(error_of_ids({{"eos_token", 5}}, none),
            "tokenizer_config.json: eos_token: want a string, got 5");
  EXPECT_EQ(error_of_ids(none, {{"eos_token_id", {1, 262}}}),
            "generation_config.json: eos_token_id[1]: want an integer in 0..261, got 262");
  EXPECT_EQ(error_of_ids(none, {{"bos_token_id", -1}}),
            "generation_config.json: bos_token_id[0]: want an integer in 0..261, got -1");
  EXPECT_EQ(error_of([] { parse_hf_vocab({.tokenizer = "{}"}, -1); }),
            "vocab_size -1, want 0..2^24");
}

// Also of files and keys whose ids are not needed, as others have said them.
TEST(HfVocab, EveryIdIsChecked) {
  const json good = {{"bos_token_id", 7}, {"eos_token_id", {9, 8}}};
  const json names = {{"bos_token", "<s>"}, {"eos_token", "<s>"}};
  for (const char* key : {"bos_token_id", "eos_token_id"}) {
    const auto error_of_id = [&](const json& id) {
      json config = good;
      config[key] = id;
      const std::string error = error_of([&] { parse(small_tokenizer(), names, good, config); });
      json generation = good;
      generation[key] = id;
      const std::string other = error_of([&] { parse(small_tokenizer(), names, generation); });
      EXPECT_EQ(error.starts_with("config.json: "), other.starts_with("generation_config.json: "));
      EXPECT_EQ(error.substr(error.find(key)), other.substr(other.find(key)));
      return error;
    };
    const std::string before = std::string("config.json: ") + key;
    EXPECT_EQ(error_of_id("</s>"), before + "[0]: want an integer in 0..261, got \"</s>\"");
    EXPECT_EQ(error_of_id(-1), before + "[0]: want an integer in 0..261, got -1");
    EXPECT_EQ(error_of_id(262), before + "[0]: want an integer in 0..261, got 262");
    EXPECT_EQ(error_of_id({1, json::array({2})}),
              before + "[1]: want an integer in 0..261, got [2]");
    EXPECT_EQ(error_of_id({{"id", 1}}), before + "[0]: want an integer in 0..261, got {\"id\":1}");
    EXPECT_EQ(
        error_of([&] { parse(small_tokenizer(), names, good, {{"text_config", {{key, 262}}}}); }),
        std::string("config.json: text_config: ") + key +
            "[0]: want an integer in 0..261, got 262");
  }
  EXPECT_EQ(error_of([&] { parse(small_tokenizer(), names, {{"pad_token_id", "x"}}); }),
            "generation_config.json: pad_token_id: want an integer in -9223372036854775808.."
            "9223372036854775807, got \"x\"");
  const Vocab vocab = parse(small_tokenizer(), json::object(), json::object(),
                            {{"text_config", {{"bos_token_id", 3}, {"eos_token_id", {4, 5}}}}});
  EXPECT_EQ(std::tuple(vocab.bos, vocab.eos), std::tuple(3, 4));
}

// A file that is there and empty was not downloaded whole.
TEST(HfVocab, EmptyFilesAreNotTakenForNone) {
  const HfVocabFiles good = {.tokenizer = small_tokenizer().dump()};
  const std::string wrong = ": not a JSON object: it is empty: was the download interrupted?";
  HfVocabFiles files = good;
  files.tokenizer_config = "";
  EXPECT_EQ(error_of([&] { parse_hf_vocab(files, 0); }), "tokenizer_config.json" + wrong);
  files = good;
  files.generation_config = "";
  EXPECT_EQ(error_of([&] { parse_hf_vocab(files, 0); }), "generation_config.json" + wrong);
  files = good;
  files.config = " \n";
  EXPECT_EQ(error_of([&] { parse_hf_vocab(files, 0); }),
            "config.json: not a JSON object: it is a text, ' \\x0a': did the download fail?");
}

TEST(HfVocab, EveryKeyOfTheTokenizerIsJudged) {
  const std::string unknown =
      " unsupported: the key is unknown and may change the model; remove it from the file if it "
      "does not";
  EXPECT_EQ(error_with("/new", 1), "new 1" + unknown);
  EXPECT_EQ(error_with("/new", nullptr), "no error");
  EXPECT_EQ(error_with("/model/new", true), "model: new true" + unknown);
  EXPECT_EQ(error_with("/model/new", false), "no error");
  EXPECT_EQ(error_with("/model/unk_token", "<unk>"), "no error");
  EXPECT_EQ(error_with("/model/fuse_unk", true), "no error");
  EXPECT_EQ(error_with("/truncation", {{"max_length", 8}}), "no error");
  EXPECT_EQ(error_with("/padding", {{"strategy", "BatchLongest"}}), "no error");
  EXPECT_EQ(error_with("/normalizer/strip", true), "normalizer: strip true" + unknown);
  EXPECT_EQ(error_with("/normalizer", 5), "normalizer: want a JSON object");
  EXPECT_EQ(error_with("/pre_tokenizer/new", 1), "pre_tokenizer: new 1" + unknown);
  EXPECT_EQ(error_with("/pre_tokenizer/pretokenizers/0/new", 1), "pre_tokenizer: new 1" + unknown);
  EXPECT_EQ(error_with("/pre_tokenizer/pretokenizers/0/pattern/String", "x"),
            "pre_tokenizer: String \"x\"" + unknown);
  EXPECT_EQ(error_with("/pre_tokenizer/pretokenizers/1/trim_offsets", true), "no error");
  EXPECT_EQ(error_with("/pre_tokenizer/pretokenizers/1/new", 1), "pre_tokenizer: new 1" + unknown);
  EXPECT_EQ(error_with("/post_processor/new", 1), "post_processor: new 1" + unknown);
  EXPECT_EQ(error_with("/decoder/new", 1), "decoder: new 1" + unknown);
  EXPECT_EQ(error_with("/added_tokens/0/new", 1), "added_tokens[0]: new 1" + unknown);
  EXPECT_EQ(error_with("/added_tokens/0/normalized", true), "no error");
}

TEST(HfVocab, TheKindOfTokenizerIsToldBeforeItsTokens) {
  json tokenizer = small_tokenizer();
  tokenizer["model"] = {{"type", "Unigram"}, {"vocab", json::array({json::array({"a", -1.5})})}};
  EXPECT_EQ(error_of([&] { parse(tokenizer); }),
            "tokenizer.json: model: type 'Unigram' is not supported");
  tokenizer = small_tokenizer();
  tokenizer["model"]["vocab"]["hi"] = 1.5;
  tokenizer["model"]["merges"] = {1};
  EXPECT_EQ(error_of([&] { parse(tokenizer); }),
            "tokenizer.json: merges[0]: want a string or a pair of strings");  // first in the file
  tokenizer["model"]["merges"] = {"h i"};
  EXPECT_EQ(error_of([&] { parse(tokenizer); }),
            "tokenizer.json: vocab 'hi': id: want an integer in "
            "-9223372036854775808..9223372036854775807, got 1.5");
  std::string text = small_tokenizer().dump();
  text.insert(text.find("\"hi\":256"), "\"hi\":256,");
  EXPECT_EQ(error_of([&] { parse_hf_vocab({.tokenizer = text}, 0); }),
            "tokenizer.json: model: vocab: duplicate key 'hi'");
}

TEST(HfVocab, TokenizerConfigMayAddTokensAndChangeNone) {
  const auto with = [](const json& tokenizer_config) {
    return error_of([&] { parse(small_tokenizer(), tokenizer_config); });
  };
  for (const char* key :
       {"add_eos_token", "add_prefix_space", "do_lower_case", "split_special_tokens"}) {
    EXPECT_EQ(with({{key, false}}), "no error");
    EXPECT_EQ(with({{key, true}}),
              "tokenizer_config.json: " + std::string(key) + " is not supported");
  }
  EXPECT_EQ(
      with({{"fix_pattern", true}}),
      "tokenizer_config.json: fix_pattern true unsupported: the key is unknown and may change "
      "tokens; remove it from the file if it does not");
  EXPECT_EQ(with({{"clean_up_tokenization_spaces", true}, {"model_max_length", 1e30}}), "no error");

  const auto decoder = [&](const char* id, const json& token) {
    return with({{"added_tokens_decoder", {{id, token}}}});
  };
  const std::string in = "tokenizer_config.json: added_tokens_decoder: ";
  EXPECT_EQ(decoder("257", {{"content", "<s>"}}), "no error");
  const json again = {
      {"added_tokens_decoder", {{"257", {{"content", "<s>"}, {"special", false}}}}}};
  EXPECT_EQ(parse(small_tokenizer(), again).types[257], TokenType::kControl);
  EXPECT_EQ(decoder("257", {{"content", "<t>"}}), in + "'257': id 257 is already '<s>'");
  EXPECT_EQ(decoder("257", {{"content", "<s>"}, {"rstrip", true}}),
            in + "'257': rstrip is not supported");
  EXPECT_EQ(decoder("25x", {{"content", "<s>"}}), in + "'25x': want a number");
  EXPECT_EQ(decoder("262", {{"content", "<t>"}}), in + "'262': id 262 >= vocab_size 262");
  const Vocab vocab =
      parse(small_tokenizer(),
            {{"added_tokens_decoder", {{"261", {{"content", "<end>"}, {"special", true}}}}},
             {"eos_token", "<end>"}});
  EXPECT_EQ(vocab.eos, 261);
  EXPECT_EQ(vocab.types[261], TokenType::kControl);
}

TEST(HfVocab, NamesThatGenerationDoesNotNeedMayBeWrong) {
  const json wrong = {{"pad_token", "<|PAD_TOKEN|>"}, {"bos_token", "<nope>"}, {"unk_token", "?"}};
  Vocab vocab = parse(small_tokenizer(), wrong, {{"pad_token_id", -1}, {"bos_token_id", 7}});
  EXPECT_EQ(std::tuple(vocab.bos, vocab.pad), std::tuple(7, -1));
  vocab = parse(small_tokenizer(), wrong, {{"pad_token_id", 5'000'000}}, {{"pad_token_id", 6}});
  EXPECT_EQ(std::tuple(vocab.bos, vocab.pad), std::tuple(-1, 6));
  EXPECT_EQ(error_of([] {
              parse(small_tokenizer(), {{"bos_token", "<nope>"}, {"add_bos_token", true}});
            }),
            "tokenizer_config.json: bos_token: '<nope>' not in vocab");
}

TEST(HfVocab, FilesThatAreSomethingElseAreNamed) {
  HfVocabFiles files = {.tokenizer = "version https://git-lfs.github.com/spec/v1\noid sha256:0"};
  EXPECT_EQ(error_of([&] { parse_hf_vocab(files, 0); }),
            "tokenizer.json: not a JSON object: it is a Git LFS pointer, not the file itself: run "
            "'git lfs pull'");
  files.tokenizer = small_tokenizer().dump();
  files.tokenizer_config = "<!DOCTYPE html>";
  EXPECT_EQ(error_of([&] { parse_hf_vocab(files, 0); }),
            "tokenizer_config.json: not a JSON object: it is an HTML page: the download failed, or "
            "needs you to log in");
}

// A file of many small values is refused soon, and keeps nothing like its own size.
TEST(HfVocab, ManySmallValuesAreRefused) {
  const auto error_and_time = [](const std::string& text) {
    std::string error;
    EXPECT_LT(testkit::cpu_seconds(
                  [&] { error = error_of([&] { parse_hf_vocab({.tokenizer = text}, 0); }); }),
              testkit::kPatience);
    return error;
  };
  EXPECT_EQ(error_and_time("{\"a\":[" + testkit::repeat("[],", 5'000'000) + "1]}"),
            "tokenizer.json: JSON of more than 131072 values");
  EXPECT_EQ(error_and_time("{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[" +
                           testkit::repeat("\"\",", 2'000'000) + "1]}}"),
            "tokenizer.json: pre_tokenizer: type 'null' is not supported");
  json tokenizer = small_tokenizer();
  tokenizer["model"]["merges"] = std::vector<std::string>((1 << 20) + 1, "h i");
  EXPECT_EQ(error_and_time(tokenizer.dump()), "tokenizer.json: model: merges: more than 1048576");
  tokenizer = small_tokenizer();
  tokenizer["added_tokens"][0]["id"] = 1 << 21;
  EXPECT_EQ(error_and_time(tokenizer.dump()),
            "tokenizer.json: added_tokens[0]: id 2097152 >= 2^21");
}

// Whatever is cut off or changed: an Error or a vocabulary that works, nothing else.
TEST(HfVocab, SurvivesDamage) {
  testkit::expect_survives_damage(
      small_tokenizer().dump(), 7, 1'000, 2, [](const std::string& text) {
        return Tokenizer(parse_hf_vocab({.tokenizer = text}, 0)).size() > 0;
      });
}

}  // namespace
}  // namespace st

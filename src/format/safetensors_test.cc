#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "format/checkpoint.h"
#include "support/bytes.h"
#include "support/shipped.h"

namespace st {
namespace {

using testkit::cat;
using testkit::contains;
using testkit::le;
using testkit::repeat;

std::string file_of(const std::string& header, size_t data_bytes = 0) {
  return le(uint64_t{header.size()}) + header + std::string(data_bytes, '\0');
}
std::string entry(const std::string& name, const std::string& type, const std::string& shape,
                  const std::string& offsets) {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{}]}})", name, type, shape,
                     offsets);
}
std::string object_of(const std::vector<std::string>& entries) {
  return fmt::format("{{{}}}", fmt::join(entries, ","));
}

std::vector<CheckpointTensor> read(const std::string& file) {
  return read_safetensors(testkit::source_of(file));
}
std::string error(const std::string& file) {
  return testkit::error_of([&] { read(file); });
}
// The same for one tensor 'x' and 16 bytes of data.
std::string tensor_error(const std::string& type, const std::string& shape,
                         const std::string& offsets) {
  return error(file_of(object_of({entry("x", type, shape, offsets)}), 16));
}

const std::string kModels = testkit::shipped("");

// One number for a whole directory; the expected ones were computed by Python's json module.
uint64_t fingerprint(const std::vector<CheckpointTensor>& tensors) {
  std::string lines;
  for (const CheckpointTensor& t : tensors) {
    lines += fmt::format("{} {} [{}] {} {}\n", t.name, dtype_name(t.type), fmt::join(t.shape, ", "),
                         t.offset, t.bytes);
  }
  return testkit::fnv1a(lines);
}
// Of the first 16 bytes of each tensor.
uint64_t value_fingerprint(const std::vector<CheckpointTensor>& tensors) {
  std::string bytes;
  for (const CheckpointTensor& t : tensors) bytes += testkit::read_bytes(*t.source, t.offset, 16);
  return testkit::fnv1a(bytes);
}

TEST(Safetensors, ReadsTheTestModel) {
  const auto tensors = read_safetensors_folder(kModels + "model");
  ASSERT_EQ(tensors.size(), 443U);
  EXPECT_EQ(tensors[0].name, "model.embed_tokens.weight");
  EXPECT_EQ(tensors[0].type, DType::kBF16);
  EXPECT_EQ(tensors[0].shape, (std::vector<uint64_t>{4096, 256}));
  EXPECT_EQ(tensors[0].offset, 54656U);
  EXPECT_EQ(tensors[0].bytes, 2097152U);
  EXPECT_EQ(tensors[442].name, "lm_head.weight");
  EXPECT_EQ(fingerprint(tensors), 0xcfbb7787122b4caaU);
  EXPECT_EQ(value_fingerprint(tensors), 0x8aab30e1532554e4U);
}

TEST(Safetensors, ReadsTheShardedModel) {
  const auto tensors = read_safetensors_folder(kModels + "variants/micro-odd-sharded");
  ASSERT_EQ(tensors.size(), 78U);
  EXPECT_EQ(tensors[0].type, DType::kF16);
  EXPECT_EQ(tensors[39].name, "model.layers.2.input_layernorm.weight");
  EXPECT_EQ(tensors[39].type, DType::kF32);
  EXPECT_EQ(tensors[39].offset, 4480U);
  EXPECT_EQ(fingerprint(tensors), 0xe00147215bd8c4f6U);
  const std::vector<CheckpointTensor> second(tensors.begin() + 39, tensors.end());
  EXPECT_EQ(fingerprint(second), 0x12aeeb0396bc72faU);
  EXPECT_EQ(value_fingerprint(second), 0x445ea82d38592a4aU);
}

TEST(Safetensors, ReadsTheOtherModels) {
  const auto with_softmax = read_safetensors_folder(kModels + "variants/micro-21b-style-softmax");
  EXPECT_EQ(fingerprint(with_softmax), 0xd1cc3ffd8329e1d7U);
  const auto small = read_safetensors_folder(kModels + "variants/micro-4b-style");
  EXPECT_EQ(fingerprint(small), 0x51b687cd216310abU);
}

TEST(Safetensors, ScalarsEmptyTensorsAndPadding) {
  const auto tensors =
      read(file_of(object_of({entry("b", "F32", "", "4,8"), entry("e", "F16", "0,3", "4,4"),
                              entry("a", "BF16", "2", "0,4")}) +
                       "   \n",
                   8));
  ASSERT_EQ(tensors.size(), 3U);
  EXPECT_EQ(tensors[0].name, "a");
  EXPECT_EQ(tensors[1].name, "e");
  EXPECT_EQ(tensors[1].bytes, 0U);
  EXPECT_EQ(tensors[2].name, "b");
  EXPECT_EQ(tensors[2].bytes, 4U);
}

TEST(Safetensors, NoTensors) { EXPECT_TRUE(read(file_of("{}")).empty()); }

TEST(SafetensorsHostile, EveryPrefix) {
  const std::string file = file_of(
      object_of({R"("__metadata__":{"format":"pt"})", entry("x", "F32", "2,2", "0,16")}), 16);
  EXPECT_EQ(error(file), "no error");
  for (size_t n = 0; n < file.size(); ++n) EXPECT_NE(error(file.substr(0, n)), "no error") << n;
}

// S1: the header.

TEST(SafetensorsHostile, HeaderLength) {
  EXPECT_EQ(error(le<uint64_t>(0)),
            "not a safetensors file: it is zeros where it should begin: was the download "
            "interrupted?");
  EXPECT_EQ(error(le<uint64_t>(0) + "x"), "header does not begin with '{'");
  EXPECT_EQ(error(le(uint64_t{1} << 63)), "header 9223372036854775808 bytes > 100 MB");
  EXPECT_EQ(error(le<uint64_t>(100'000'001)), "header 100000001 bytes > 100 MB");
  EXPECT_EQ(error(le<uint64_t>(100'000'000) + "{}"), "truncated: header 100000000 bytes, 2 left");
  EXPECT_EQ(error(le<uint64_t>(3) + "{}"), "truncated: header 3 bytes, 2 left");
  EXPECT_PRED2(contains, error(le<uint64_t>(1) + "{}"), "invalid JSON");
}

// Allowed by the format, but nothing needs it, and 100 MB of JSON take long to read.
TEST(SafetensorsHostile, LongHeader) {
  EXPECT_EQ(error(file_of("{}" + std::string((16U << 20) - 2, ' '))), "no error");
  EXPECT_EQ(error(file_of("{}" + std::string((16U << 20) - 1, ' '))),
            "header 16777217 bytes > 16777216");
}

TEST(SafetensorsHostile, HeaderIsNoObject) {
  for (const std::string header : {"[]", " {}", "\xef\xbb\xbf{}", "1", "\"x\""}) {
    EXPECT_EQ(error(file_of(header)), "header does not begin with '{'") << header;
  }
}

TEST(SafetensorsHostile, HeaderIsNoJson) {
  for (const std::string header : {"{", "{]", "{}{}", "{} x", "{\"a\":}", "{'a':{}}", "{,}"}) {
    EXPECT_PRED2(contains, error(file_of(header)), "header: invalid JSON at byte") << header;
  }
}

TEST(SafetensorsHostile, HeaderEndsAtAZeroByte) {
  EXPECT_EQ(error(file_of(std::string("{}\0\0", 4))), "header: invalid JSON at byte 3");
}

TEST(SafetensorsHostile, InvalidUtf8) {
  for (const std::string name :
       {"\x80", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82"}) {
    EXPECT_PRED2(contains, error(file_of(object_of({entry(name, "F32", "4", "0,16")}), 16)),
                 "invalid JSON");
  }
}

TEST(SafetensorsHostile, DuplicateKeys) {
  const std::string x = entry("x", "F32", "4", "0,16");
  EXPECT_EQ(error(file_of(object_of({x, x}), 16)), "header: duplicate key 'x'");
  EXPECT_EQ(error(file_of(R"({"x":{"dtype":"F32","dtype":"F16"}})")),
            "header: duplicate key 'dtype'");
  EXPECT_EQ(error(file_of(R"({"x":{"dtype":"F32","d\u0074ype":"F16"}})")),
            "header: duplicate key 'dtype'");
  EXPECT_EQ(error(file_of(R"({"__metadata__":{"a":"","a":""}})")), "header: duplicate key 'a'");
}

TEST(SafetensorsHostile, DeepNesting) {
  EXPECT_PRED2(contains, error(file_of(repeat(R"({"x":)", 100'000))), "nested too deep");
  EXPECT_PRED2(contains, error(file_of(R"({"x":{"shape":)" + repeat("[", 100'000))),
               "want an object");
  EXPECT_EQ(error(file_of(R"({"x":)" + repeat("[", 100'000))), "header: 'x': want an object");
}

TEST(SafetensorsHostile, TooManyEntries) {
  const std::string rest = entry("", "F32", "0", "0,0").substr(2);
  std::string header = "{";
  for (int i = 0; i < 200'000; ++i) header += cat("\"", std::to_string(i), "\"", rest, ",");
  const std::string file = file_of(header);
  std::string message;
  EXPECT_LT(testkit::cpu_seconds([&] { message = error(file); }), testkit::kPatience);
  EXPECT_EQ(message, "header: more than 65536 tensors");
}

TEST(SafetensorsHostile, TooMuchMetadata) {
  std::string header = R"({"__metadata__":{)";
  for (int i = 0; i < 1'000'000; ++i) header += cat("\"", std::to_string(i), "\":\"\",");
  EXPECT_EQ(error(file_of(header)), "header: more than 524288 keys");
}

TEST(SafetensorsHostile, MetadataIsNotText) {
  for (const std::string value : {"1", "null", "[]", "true", "-1", "1.5"}) {
    EXPECT_EQ(error(file_of(R"({"__metadata__":{"a":)" + value + "}}")),
              "header: __metadata__: want strings");
  }
}

// S2: the tensors.

TEST(SafetensorsHostile, OffsetsReversed) {
  EXPECT_EQ(tensor_error("F32", "4", "16,8"), "header: tensor 'x': offsets 16..8");
}

TEST(SafetensorsHostile, OffsetsPastTheEnd) {
  EXPECT_EQ(tensor_error("F32", "8", "0,32"),
            "tensor 'x': offsets 0..32 past the end of the data (16)");
}

TEST(SafetensorsHostile, OffsetsOfTheWrongSize) {
  EXPECT_EQ(tensor_error("F32", "3", "0,16"),
            "header: tensor 'x': offsets 0..16, but F32 [3] takes 12 bytes");
  EXPECT_PRED2(contains, tensor_error("F16", "4", "0,16"), "but F16 [4] takes 8 bytes");
  EXPECT_PRED2(contains, tensor_error("F32", "", "0,16"), "but F32 [] takes 4 bytes");
  EXPECT_PRED2(contains, tensor_error("F32", "0", "0,16"), "but F32 [0] takes 0 bytes");
}

TEST(SafetensorsHostile, Overlap) {
  EXPECT_EQ(error(file_of(
                object_of({entry("x", "F32", "3", "0,12"), entry("y", "F32", "2", "8,16")}), 16)),
            "tensor 'y': offsets 8..16 leave a hole or overlap: want 12");
  EXPECT_PRED2(
      contains,
      error(
          file_of(object_of({entry("x", "F32", "4", "0,16"), entry("y", "F32", "4", "0,16")}), 16)),
      "offsets 0..16 leave a hole or overlap: want 16");
}

TEST(SafetensorsHostile, Hole) {
  EXPECT_EQ(error(file_of(
                object_of({entry("x", "F32", "1", "0,4"), entry("y", "F32", "2", "8,16")}), 16)),
            "tensor 'y': offsets 8..16 leave a hole or overlap: want 4");
  EXPECT_PRED2(contains, tensor_error("F32", "2", "8,16"), "want 0");
}

TEST(SafetensorsHostile, DataNotCovered) {
  EXPECT_EQ(tensor_error("F32", "3", "0,12"), "data: 16 bytes, of which tensors cover 12");
  EXPECT_EQ(error(file_of("{}", 1)), "data: 1 bytes, of which tensors cover 0");
}

TEST(SafetensorsHostile, ShapeWraps) {
  EXPECT_EQ(tensor_error("F32", "4294967296,4294967296", "0,0"),
            "header: tensor 'x': shape 17179869184 x 4294967296 overflows");
  EXPECT_PRED2(contains, tensor_error("F32", "4611686018427387904", "0,0"), "overflows");
}

TEST(SafetensorsHostile, NumbersThatAreNone) {
  for (const std::string number :
       {"-1", "1.0", "1e3", "null", "\"4\"", "true", "{}", "[]", "18446744073709551616"}) {
    EXPECT_NE(tensor_error("F32", number, "0,16"), "no error") << number;
    EXPECT_NE(tensor_error("F32", "4", "0," + number), "no error") << number;
  }
  EXPECT_PRED2(contains, tensor_error("F32", "-1", "0,16"),
               "'x': 'shape': want non-negative integers");
}

TEST(SafetensorsHostile, MissingOrUnknownKeys) {
  EXPECT_EQ(error(file_of(R"({"x":{"dtype":"F32","shape":[]}})")),
            "header: tensor 'x': want dtype, shape and data_offsets");
  EXPECT_PRED2(contains, error(file_of(R"({"x":{"offsets":[0,1]}})")),
               "key 'offsets' is unknown or of the wrong type");
  EXPECT_PRED2(contains, tensor_error("F32", "4", "0,8,16"), "key 'data_offsets' is unknown or of");
  EXPECT_PRED2(contains, tensor_error("F32", "4", "16"), "key 'data_offsets' is unknown or of");
  EXPECT_PRED2(contains, tensor_error("F32", "1,1,1,1,1,1,1,1,4", "0,16"), "more than 8 items");
}

TEST(SafetensorsHostile, OtherTypes) {
  for (const std::string type : {"I64", "F8_E4M3", "BOOL", "f32", "Q4_0", ""}) {
    EXPECT_EQ(tensor_error(type, "2", "0,16"),
              "header: tensor 'x': type " + type + " unsupported (want F32, F16 or BF16)");
  }
}

TEST(SafetensorsHostile, ControlBytesInAName) {
  EXPECT_PRED2(contains, error(file_of(object_of({entry("\\u001b]52;", "I8", "", "0,1")}), 1)),
               "tensor '\\x1b]52;': type I8");
}

// Folders.

class SafetensorsFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "st_safetensors_" + std::to_string(::getpid());
    std::filesystem::create_directory(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << bytes;
  }
  void write_shard(const std::string& name, const std::string& tensor) {
    write(name, file_of(object_of({entry(tensor, "F32", "1", "0,4")}), 4));
  }
  void write_index(const std::string& weight_map) {
    write("model.safetensors.index.json",
          R"({"metadata":{"total_size":8},"weight_map":{)" + weight_map + "}}");
  }
  std::string error() {
    return testkit::error_of([&] { read_safetensors_folder(folder_); });
  }

  std::string folder_;
};

TEST_F(SafetensorsFolder, ReadsShards) {
  write_shard("a.safetensors", "x");
  write_shard("b.safetensors", "y");
  write_index(R"("y":"b.safetensors","x":"a.safetensors")");
  const auto tensors = read_safetensors_folder(folder_);
  ASSERT_EQ(tensors.size(), 2U);
  EXPECT_EQ(tensors[0].name, "x");
  EXPECT_EQ(tensors[1].name, "y");
}

TEST_F(SafetensorsFolder, ShardOutsideTheFolder) {
  for (const std::string name :
       {"../../x", "/etc/passwd", "..", ".", "", "a/b", "a\\\\b", "a\\u0000b"}) {
    write_index(R"("x":")" + name + "\"");
    EXPECT_PRED2(contains, error(), "tensor 'x': shard path leaves the model directory") << name;
  }
}

TEST_F(SafetensorsFolder, ShardMissing) {
  write_shard("a.safetensors", "x");
  write_index(R"("x":"a.safetensors","y":"b.safetensors")");
  EXPECT_PRED2(contains, error(), "/b.safetensors: cannot open: No such file or directory");
}

TEST_F(SafetensorsFolder, ShardIsADirectory) {
  std::filesystem::create_directory(folder_ + "/a.safetensors");
  write_index(R"("x":"a.safetensors")");
  EXPECT_PRED2(contains, error(), "/a.safetensors: not a regular file");
}

TEST_F(SafetensorsFolder, TensorMissing) {
  write_shard("a.safetensors", "x");
  write_index(R"("x":"a.safetensors","y":"a.safetensors")");
  EXPECT_PRED2(contains, error(), "index.json: tensor 'y': not in a.safetensors");
}

TEST_F(SafetensorsFolder, TensorInAnotherShard) {
  write_shard("a.safetensors", "x");
  write_shard("b.safetensors", "y");
  write_index(R"("x":"b.safetensors","y":"a.safetensors")");
  EXPECT_PRED2(contains, error(), "'x': in a.safetensors, where the index does not list it");
}

TEST_F(SafetensorsFolder, TensorNotListed) {
  write_shard("a.safetensors", "x");
  write_index(R"("y":"a.safetensors")");
  EXPECT_PRED2(contains, error(), "'x': in a.safetensors, where the index does not list it");
}

TEST_F(SafetensorsFolder, IndexWithoutTensors) {
  write_index("");
  EXPECT_PRED2(contains, error(), "weight_map: lists no tensors");
  write_index(R"("x":1)");
  EXPECT_PRED2(contains, error(), "tensor 'x': want a file name");
  write_index(R"("x":"a","x":"b")");
  EXPECT_PRED2(contains, error(), "duplicate key 'x'");
  write("model.safetensors.index.json", "[]");
  EXPECT_PRED2(contains, error(),
               "index.json: not a JSON object: it is a text, '[]': did the download");
  write("model.safetensors.index.json", "");
  EXPECT_PRED2(contains, error(), "index.json: not a JSON object: it is empty: was the download");
  write("model.safetensors.index.json", "{");
  EXPECT_PRED2(contains, error(), "invalid JSON");
}

TEST_F(SafetensorsFolder, ErrorsBeginWithThePath) {
  write("model.safetensors", "");
  EXPECT_PRED2(
      contains, error(),
      folder_ +
          "/model.safetensors: not a safetensors file: it is empty: was the download interrupted?");
  write("model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
  EXPECT_EQ(error(), folder_ +
                         "/model.safetensors: not a safetensors file: it is a Git LFS pointer, not "
                         "the file itself: run 'git lfs pull'");
  write("model.safetensors", "<!doctype html><html>");
  EXPECT_EQ(error(), folder_ +
                         "/model.safetensors: not a safetensors file: it is an HTML page: the "
                         "download failed, or needs you to log in");
}

TEST_F(SafetensorsFolder, NumberedShardsNeedNoIndex) {
  write_shard("model-00001-of-00002.safetensors", "x");
  EXPECT_EQ(error(), folder_ + "/model-00002-of-00002.safetensors: missing; incomplete download?");
  write_shard("model-00002-of-00002.safetensors", "x");
  EXPECT_EQ(error(), folder_ +
                         "/model-00002-of-00002.safetensors: tensor 'x': also in "
                         "model-00001-of-00002.safetensors");
  write_shard("model-00002-of-00002.safetensors", "y");
  const auto tensors = read_safetensors_folder(folder_);
  ASSERT_EQ(tensors.size(), 2u);
  EXPECT_EQ(tensors[0].name + tensors[1].name, "xy");
  EXPECT_EQ(tensors[1].file, folder_ + "/model-00002-of-00002.safetensors");
  write_shard("model-00001-of-00001.safetensors", "z");
  EXPECT_EQ(error(), folder_ + ": shards of 1 and of 2 files, and no model.safetensors.index.json");
  std::filesystem::remove(folder_ + "/model-00001-of-00002.safetensors");
  std::filesystem::remove(folder_ + "/model-00002-of-00002.safetensors");
  EXPECT_EQ(read_safetensors_folder(folder_).size(), 1u);
}

TEST_F(SafetensorsFolder, TwoModelsAreRefused) {
  write_shard("model.safetensors", "x");
  write_shard("a.safetensors", "x");
  EXPECT_EQ(read_safetensors_folder(folder_).size(), 1u);
  write_index(R"("x":"model.safetensors")");
  EXPECT_EQ(read_safetensors_folder(folder_).size(), 1u);
  write_index(R"("x":"a.safetensors")");
  EXPECT_EQ(error(),
            folder_ + ": both model.safetensors and a.safetensors: remove what is not the model");
  std::filesystem::remove(folder_ + "/model.safetensors.index.json");
  write_shard("model-00001-of-00001.safetensors", "x");
  EXPECT_EQ(error(), folder_ +
                         ": both model.safetensors and model-00001-of-00001.safetensors: remove "
                         "what is not the model");
}

TEST_F(SafetensorsFolder, SaysWhatIsThereInstead) {
  const std::string nothing =
      folder_ + ": neither model.safetensors nor model.safetensors.index.json in this folder";
  write("pytorch_model.bin", "x");
  EXPECT_EQ(error(), nothing +
                         "; pytorch_model.bin is not read: load and save the model with a current "
                         "Transformers");
  write("adapter_model.safetensors", "x");
  EXPECT_EQ(error(),
            nothing + "; adapter_model.safetensors is an adapter: merge it into its model first");
  write("Model.SafeTensors", "x");
  EXPECT_EQ(error(), nothing + "; Model.SafeTensors has none of their names");
  write("M.gguf", "x");
  EXPECT_EQ(error(), nothing + "; M.gguf is no checkpoint but converted");
}

TEST_F(SafetensorsFolder, NothingThere) {
  EXPECT_EQ(error(), folder_ +
                         ": neither model.safetensors nor model.safetensors.index.json in "
                         "this folder");
}

}  // namespace
}  // namespace st

#include "format/gguf.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "format/gguf_model.h"
#include "support/bytes.h"
#include "support/gguf_builder.h"

namespace st {
namespace {

using namespace testkit;

// Two keys and two F32 tensors of four values.
GgufBuilder small() {
  GgufBuilder b;
  b.entries = {kv_string("general.architecture", "test"), kv_u32("test.count", 7)};
  b.infos = {tensor_info("a", {4}, 0, 0), tensor_info("b", {2, 2}, 0, 32)};
  b.data = std::string(48, '\1');
  return b;
}

std::string error_for(const std::string& bytes) {
  return error_of([&] { GgufFile{source_of(bytes)}; });
}
std::string error_for(const GgufBuilder& builder) { return error_for(builder.build()); }

GgufBuilder with_entry(const std::string& entry) {
  GgufBuilder b = small();
  b.entries.push_back(entry);
  return b;
}
GgufBuilder with_tensor(const std::string& info) {
  GgufBuilder b = small();
  b.infos = {info};
  return b;
}

TEST(Gguf, ReadsWhatItShould) {
  const GgufFile file(source_of(small().build()));
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(*file.find_string("general.architecture"), "test");
  EXPECT_EQ(file.get_u32("test.count"), 7u);
  EXPECT_EQ(file.find("none"), nullptr);
  ASSERT_EQ(file.tensors().size(), 2u);
  const GgufTensor* b = file.find_tensor("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->ne, (std::vector<uint64_t>{2, 2}));
  EXPECT_EQ(b->bytes, 16u);
  EXPECT_EQ(b->offset % 32, 0u);
  GgufBuilder old = small();
  old.version = 2;
  EXPECT_NO_THROW(GgufFile{source_of(old.build())});
}

TEST(Gguf, WritesWhatItReads) {
  GgufWriter writer;
  writer.set("u", GgufValue::u32(5));
  writer.set("f", GgufValue::f32(0.5f));
  writer.set("b", GgufValue::boolean(true));
  writer.set("s", GgufValue::string("text"));
  writer.set("i", GgufValue::array(GgufArray::of(std::vector<int32_t>{-1, 2})));
  writer.set("t", GgufValue::array(GgufArray::of(std::vector<std::string>{"x", ""})));
  writer.set("u", GgufValue::u32(6));  // replaces
  writer.add_tensor("q", DType::kQ8_0, {32, 3});
  writer.add_tensor("v", DType::kF32, {5});
  const std::string path = std::filesystem::temp_directory_path() / "st-gguf-writer-test.gguf";
  writer.begin(path);
  const std::string q(3 * 34, 'q');
  const std::string v(5 * 4, 'v');
  writer.write(std::as_bytes(std::span(q)).first(50));  // in any pieces
  EXPECT_EQ(error_of([&] { writer.finish(); }), "tensor 'q' is incomplete");
  writer.write(std::as_bytes(std::span(q)).subspan(50));
  writer.write(std::as_bytes(std::span(v)));
  writer.finish();

  EXPECT_EQ(std::filesystem::file_size(path), writer.file_size());
  const GgufFile file(std::make_shared<File>(path));
  EXPECT_EQ(file.entries().size(), 6u);
  EXPECT_EQ(file.get_u32("u"), 6u);
  EXPECT_EQ(file.find_f32("f"), 0.5f);
  EXPECT_EQ(file.find_bool("b"), true);
  EXPECT_EQ(file.find_integers("i")->integer(0), -1);
  EXPECT_EQ(file.find_strings("t")->strings[0], "x");
  const GgufTensor* tensor = file.find_tensor("v");
  EXPECT_EQ(read_bytes(file.source(), tensor->offset, tensor->bytes), v);
  EXPECT_EQ(read_bytes(file.source(), file.find_tensor("q")->offset, 102), q);
  std::filesystem::remove(path);
}

// The names of the tests below are rows of a checklist of inputs that have broken GGUF readers.

TEST(GgufHostile, G1_EveryPrefix) {
  const std::string bytes = small().build();
  EXPECT_EQ(error_for(""), "truncated: need 24 header bytes, file has 0; incomplete download?");
  EXPECT_EQ(error_for("GGUF"), "truncated: need 24 header bytes, file has 4; incomplete download?");
  EXPECT_EQ(error_for(bytes.substr(0, 23)),
            "truncated: need 24 header bytes, file has 23; incomplete download?");
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_NE(error_for(bytes.substr(0, n)), "no error") << n;
  }
  EXPECT_EQ(error_for(bytes), "no error");
}

TEST(GgufHostile, G1_EveryByteFlipped) {
  const std::string bytes = small().build();
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (const int bit : {0, 3, 7}) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      error_for(damaged);  // an Error or a file: no crash, and the sanitizers are watching
    }
  }
}

TEST(GgufHostile, G2_MagicAndVersion) {
  GgufBuilder b = small();
  b.magic = "GGML";
  EXPECT_EQ(error_for(b), "not a GGUF file");
  b.magic = "GGUF";
  for (const uint32_t version : {0u, 1u, 4u}) {
    b.version = version;
    EXPECT_EQ(error_for(b), "GGUF version " + std::to_string(version) + " unsupported (2-3)");
  }
  b.version = 0x03000000;
  EXPECT_EQ(error_for(b), "big-endian GGUF unsupported");
}

TEST(GgufHostile, G2_OtherFiles) {
  EXPECT_EQ(error_for("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
            "not a GGUF file: it is a Git LFS pointer, not the file itself: run 'git lfs pull'");
  EXPECT_EQ(error_for("<!doctype html>\n<html>"),
            "not a GGUF file: it is an HTML page: the download failed, or needs you to log in");
}

TEST(GgufHostile, G3_Counts) {
  GgufBuilder b = small();
  b.n_tensors = uint64_t{1} << 60;
  EXPECT_EQ(error_for(b), "header: n_tensors 1152921504606846976 > 65536");
  b.n_tensors.reset();
  for (const uint64_t n : {uint64_t{1} << 60, UINT64_MAX, UINT64_MAX / 48}) {
    b.n_kv = n;
    EXPECT_EQ(error_for(b), "header: n_kv " + std::to_string(n) + " > 65536");
  }
  b.n_kv = 60'000;  // within the limit but not there
  EXPECT_NE(error_for(b), "no error");
}

TEST(GgufHostile, G4_StringLengths) {
  for (const uint64_t length : {uint64_t{1} << 63, uint64_t{1} << 40, uint64_t{1000}}) {
    EXPECT_TRUE(contains(error_for(with_entry(le(length) + "key")), "kv[2] key length"));
    EXPECT_TRUE(contains(error_for(with_entry(kv("k", GgufType::kString, le(length)))),
                         "exceeds remaining"));
    EXPECT_TRUE(
        contains(error_for(with_entry(kv_array("k", 8, 1, le(length)))), "exceeds remaining"));
    EXPECT_TRUE(contains(error_for(with_tensor(le(length) + "name")), "tensor[0] name length"));
  }
  EXPECT_TRUE(contains(error_for(with_tensor(tensor_info(std::string(64, 'n'), {4}, 0, 0))),
                       "name length 64 > 63"));
}

TEST(GgufHostile, G5_Arrays) {
  const uint64_t huge = uint64_t{1} << 60;
  for (const uint32_t element : {0u, 8u}) {
    EXPECT_TRUE(
        contains(error_for(with_entry(kv_array("x", element, huge, ""))), "array items exceed"));
  }
  EXPECT_EQ(error_for(with_entry(kv_array("x", 77, huge, ""))), "kv 'x': array of unknown type 77");
  EXPECT_EQ(error_for(with_entry(kv_array("x", 9, 1, le(uint32_t{9}) + le(uint64_t{1})))),
            "kv 'x': nested arrays unsupported");
  EXPECT_EQ(error_for(with_entry(kv("x", static_cast<GgufType>(13), ""))),
            "kv 'x': unknown type 13");
}

TEST(GgufHostile, G6_KeysAndTypes) {
  EXPECT_EQ(error_for(with_entry(kv_u32("", 1))), "kv[2]: empty key");
  EXPECT_EQ(error_for(with_entry(kv_u32("test.count", 1))), "kv[2]: duplicate key 'test.count'");
  EXPECT_EQ(error_for(with_entry(kv("general.alignment", GgufType::kI32, le(32)))),
            "key general.alignment: want u32, got i32");
  const GgufFile file(source_of(with_entry(kv_string("n", "x")).build()));
  EXPECT_EQ(error_of([&] { file.get_u32("n"); }), "key n: want u32, got string");
  EXPECT_EQ(error_of([&] { file.find_string("test.count"); }),
            "key test.count: want string, got u32");
  EXPECT_EQ(error_of([&] { file.find_integers("n"); }), "key n: want array of i32, got string");
  EXPECT_EQ(error_of([&] { file.get_u32("none"); }), "key none: missing");
}

TEST(GgufHostile, G7_Alignment) {
  for (const uint32_t alignment : {0u, 3u, 1u, 1u << 31, UINT32_MAX}) {
    EXPECT_EQ(error_for(with_entry(kv_u32("general.alignment", alignment))),
              "general.alignment " + std::to_string(alignment) + ": want power of two in 8..65536");
  }
  GgufBuilder b = with_entry(kv_u32("general.alignment", 64));
  b.infos = {tensor_info("a", {4}, 0, 0), tensor_info("b", {2, 2}, 0, 64)};
  b.data = std::string(80, '\1');
  b.alignment = 64;
  EXPECT_EQ(error_for(b), "no error");
}

TEST(GgufHostile, G8_ZeroDimension) {
  EXPECT_EQ(error_for(with_tensor(tensor_info("x", {2560, 0}, 0, 0))),
            "tensor 'x': dimension 1 is 0");
}

TEST(GgufHostile, G9_HugeDimensions) {
  const uint64_t k32 = uint64_t{1} << 32;
  for (const auto& ne : std::vector<std::vector<uint64_t>>{{(uint64_t{1} << 42) + 1, 1},
                                                           {uint64_t{1} << 62, 4},
                                                           {k32, k32},
                                                           {UINT64_MAX, 1},
                                                           {k32, k32, k32, k32}}) {
    EXPECT_NE(error_for(with_tensor(tensor_info("x", ne, 0, 0))), "no error") << ne[0];
  }
  EXPECT_EQ(error_for(with_tensor(tensor_info("x", {1, 1, 1, 1, 1}, 0, 0))),
            "tensor 'x': 5 dimensions, want 1..4");
  EXPECT_EQ(error_for(with_tensor(text("x") + le(UINT32_MAX) + le(uint64_t{1}))),
            "tensor 'x': 4294967295 dimensions, want 1..4");
}

TEST(GgufHostile, G10_Offsets) {
  EXPECT_TRUE(
      contains(error_for(with_tensor(tensor_info("x", {4}, 0, UINT64_MAX - 31))), "overflows"));
  EXPECT_EQ(error_for(with_tensor(tensor_info("x", {4}, 0, 64))),
            "tensor 'x': bytes 192..208 past end of file (176); incomplete download? a whole one "
            "has 208 bytes");
  EXPECT_TRUE(contains(error_for(with_tensor(tensor_info("x", {13}, 0, 0))),
                       "past end of file (176); incomplete download? a whole one has 180 bytes"));
  EXPECT_EQ(error_for(with_tensor(tensor_info("x", {4}, 0, 8))),
            "tensor 'x': offset 8 is not aligned to 32");
  GgufBuilder b = small();
  b.infos = {tensor_info("a", {9}, 0, 0), tensor_info("b", {2, 2}, 0, 32)};
  EXPECT_EQ(error_for(b), "tensor 'b': overlaps tensor 'a'");
}

TEST(GgufHostile, G11_Types) {
  const auto of_type = [](uint32_t type) {
    return error_for(with_tensor(tensor_info("x", {32}, type, 0)));
  };
  EXPECT_EQ(of_type(4), "tensor 'x': type 4 (Q4_2) unsupported");
  EXPECT_EQ(of_type(22), "tensor 'x': type 22 (IQ2_S) unsupported");
  EXPECT_EQ(of_type(31), "tensor 'x': type 31 (Q4_0_4_4) unsupported");
  EXPECT_EQ(of_type(36), "tensor 'x': type 36 (IQ4_NL_4_4) unsupported");
  EXPECT_EQ(of_type(40), "tensor 'x': type 40 (NVFP4) unsupported");
  EXPECT_EQ(of_type(97), "tensor 'x': type 97 unsupported");
  EXPECT_EQ(of_type(UINT32_MAX), "tensor 'x': type -1 unsupported");
  EXPECT_EQ(error_for(with_tensor(tensor_info("x", {33}, 2, 0))),
            "tensor 'x': row of 33 values is not a multiple of Q4_0's block of 32");
  // Rows of ours end with a block: no super-block is filled up.
  for (const DTypeInfo& type : all_dtypes()) {
    if (type.block_values == 1) continue;
    const auto id = static_cast<uint32_t>(type.type);
    for (const uint64_t values : {type.block_values / 2, 3 * type.block_values - 32 + 1}) {
      EXPECT_EQ(error_for(with_tensor(tensor_info("x", {values}, id, 0))),
                fmt::format("tensor 'x': row of {} values is not a multiple of {}'s block of {}",
                            values, type.name, type.block_values));
    }
  }
}

TEST(Gguf, FilesOfOtherTypesCanBeListed) {
  GgufBuilder b = small();
  b.infos = {tensor_info("iq2_s", {256}, 22, 0), tensor_info("unknown", {3}, 97, 96)};
  b.data = std::string(128, '\1');
  const GgufFile file(source_of(b.build()), GgufTypes::kAny);
  EXPECT_EQ(file.find_tensor("iq2_s")->bytes, 82u);
  EXPECT_EQ(file.find_tensor("unknown")->bytes, 0u);
  EXPECT_EQ(static_cast<uint32_t>(file.find_tensor("unknown")->type), 97u);
  b.data.resize(81);
  EXPECT_TRUE(contains(error_of([&] { GgufFile(source_of(b.build()), GgufTypes::kAny); }),
                       "tensor 'iq2_s': bytes 192..274 past end of file"));
  b = with_tensor(tensor_info("x", {255}, 22, 0));
  EXPECT_EQ(error_of([&] { GgufFile(source_of(b.build()), GgufTypes::kAny); }),
            "tensor 'x': row of 255 values is not a multiple of IQ2_S's block of 256");
}

TEST(Gguf, NotesWhatWasLookedFor) {
  const GgufFile file(source_of(small().build()));
  EXPECT_EQ(file.unread_entries().size(), 2u);
  EXPECT_EQ(file.unread_tensors().size(), 2u);
  EXPECT_EQ(file.get_u32("test.count"), 7u);
  EXPECT_EQ(file.find("none"), nullptr);
  EXPECT_EQ(file.find_tensor("none"), nullptr);
  EXPECT_NE(file.find_tensor("b"), nullptr);
  ASSERT_EQ(file.unread_entries().size(), 1u);
  EXPECT_EQ(file.unread_entries()[0]->key, "general.architecture");
  ASSERT_EQ(file.unread_tensors().size(), 1u);
  EXPECT_EQ(file.unread_tensors()[0]->name, "a");
}

TEST(Gguf, ShowsValues) {
  EXPECT_EQ(printable(GgufValue::u32(7)), "7");
  EXPECT_EQ(printable(GgufValue::f32(0.1f)), "0.1");
  EXPECT_EQ(printable(GgufValue::boolean(true)), "true");
  EXPECT_EQ(printable(GgufValue::string("\x1b")), "'\\x1b'");
  EXPECT_EQ(printable(GgufValue::array(GgufArray::of(std::vector<int32_t>{1, 2}))),
            "array of 2 i32");
}

TEST(GgufHostile, G15_ManyKeysAndTensors) {
  GgufBuilder b = small();
  for (int i = 0; i < 65'000; ++i) {
    b.entries.push_back(kv_u32("a.common.prefix.of.every.key." + std::to_string(i), 1));
    b.infos.push_back(tensor_info("a.common.prefix." + std::to_string(i), {1}, 0, 64 + i * 32));
  }
  b.data.resize(64 + 65'000 * 32, '\0');
  const std::string bytes = b.build();
  EXPECT_LT(testkit::cpu_seconds([&] { EXPECT_EQ(error_for(bytes), "no error"); }),
            testkit::kPatience);
}

TEST(GgufHostile, G16_NamesAreShownSafely) {
  EXPECT_EQ(error_for(with_tensor(tensor_info("\x1b]52;x\n", {0}, 0, 0))),
            "tensor '\\x1b]52;x\\x0a': dimension 0 is 0");
}

struct GgufSplit : testing::Test {
  std::filesystem::path folder = std::filesystem::temp_directory_path() / "st-gguf-split";

  GgufSplit() { std::filesystem::create_directories(folder); }
  ~GgufSplit() override { std::filesystem::remove_all(folder); }

  std::string part(int i) const {
    return (folder / fmt::format("m-{:05}-of-00003.gguf", i)).string();
  }
  void write(int i, uint16_t number, const std::string& tensor,
             const std::vector<std::string>& more = {}) const {
    GgufBuilder b;
    b.entries = {kv("split.count", GgufType::kU16, le(uint16_t{3})),
                 kv("split.no", GgufType::kU16, le(number))};
    b.entries.insert(b.entries.end(), more.begin(), more.end());
    b.infos = {tensor_info(tensor, {4}, 0, 0)};
    b.data = std::string(16, '\0');
    AtomicFile file(part(i));
    const std::string bytes = b.build();
    file.write(std::as_bytes(std::span(bytes)));
    file.commit();
  }
  void write_all() const {
    write(1, 0, "a");
    write(2, 1, "b");
    write(3, 2, "c");
  }
  std::string error() const {
    return error_of([&] { GgufModel{part(1)}; });
  }
};

TEST_F(GgufSplit, G17_MissingAndDoubled) {
  write(1, 0, "a");
  write(3, 2, "c");
  EXPECT_EQ(error(), part(1) + ": split 2 of 3 missing: " + part(2));
  write(2, 1, "b");
  const GgufModel model(part(1));
  EXPECT_EQ(model.tensors().size(), 3u);
  EXPECT_TRUE(model.find("c"));
  EXPECT_FALSE(model.find("d"));
  EXPECT_TRUE(
      contains(error_of([&] { GgufModel{part(2)}; }), "open the one named *-00001-of-00003.gguf"));
  write(2, 1, "c");
  EXPECT_EQ(error(), part(1) + ": tensor 'c' is in two parts");
}

TEST_F(GgufSplit, PartsMustBeWhatTheySay) {
  write_all();
  write(2, 2, "b");  // another part under this name
  EXPECT_EQ(error(), part(2) + ": key split.no 2: want 1");
  write_all();
  write(1, 0, "a", {kv("split.tensors.count", GgufType::kI32, le(4))});
  EXPECT_EQ(error(), part(1) + ": key split.tensors.count 4: want 3");
  write_all();
  write(3, 2, "c", {kv_u32("llama.block_count", 1)});
  EXPECT_EQ(error(), part(3) + ": key llama.block_count: belongs into the first part");
  write_all();
  write(3, 2, "c", {kv_u32("general.alignment", 32)});
  EXPECT_EQ(error(), "no error");
}

TEST(GgufHostile, MetadataBeyondTheLimit) {
  // Seventeen arrays of a million empty strings: 128 MiB in the file, far more in memory.
  GgufBuilder b = small();
  const std::string items(size_t{8} << 20, '\0');
  for (int i = 0; i < 17; ++i)
    b.entries.push_back(kv_array("k" + std::to_string(i), 8, 1 << 20, items));
  EXPECT_TRUE(contains(error_for(b), "metadata exceeds 268435456 bytes"));
}

}  // namespace
}  // namespace st

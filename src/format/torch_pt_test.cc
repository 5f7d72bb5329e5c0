#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "format/checkpoint.h"
#include "support/bytes.h"
#include "support/shipped.h"

namespace st {
namespace {

using testkit::cat;
using testkit::contains;
using testkit::le;
using testkit::zip_of;
using testkit::ZipItem;

std::string pickled(std::string_view text) {
  return cat("X", le(static_cast<uint32_t>(text.size())), text);
}
std::string pickled(int64_t value) { return cat("\x8a\x08", le(value)); }
std::string pickled(const std::vector<int64_t>& values) {
  std::string tuple = "(";
  for (const int64_t value : values) tuple += pickled(value);
  return tuple + "t";
}

// One entry of a state dict as torch.save writes it, every part open to abuse.
struct TestTensor {
  std::string name = "w";
  std::string storage = "ctorch\nFloatStorage\n";
  std::string kind = "storage";
  std::string key = "0";
  int64_t count = 6;  // of the storage
  int64_t offset = 0;
  std::vector<int64_t> shape = {2, 3};
  std::vector<int64_t> strides = {3, 1};
  std::string more = {};  // arguments

  std::string id() const {
    return cat("(", pickled(kind), storage, pickled(key), pickled("cpu"), pickled(count), "t");
  }
  std::string pickle() const {
    return cat("ctorch._utils\n_rebuild_tensor_v2\n(", id(), "Q", pickled(offset), pickled(shape),
               pickled(strides), "\x89", "ccollections\nOrderedDict\n)R", more, "tR");
  }
};

std::string dict_of(const std::vector<TestTensor>& tensors) {
  std::string pickle = "\x80\x02}(";
  for (const TestTensor& tensor : tensors) pickle += pickled(tensor.name) + tensor.pickle();
  return pickle + "u.";
}

std::string floats(int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += le(static_cast<float>(i));
  return bytes;
}

std::string file_of(const std::string& pickle, const std::string& storage = floats(6)) {
  return zip_of({{"m/data.pkl", pickle}, {"m/data/0", storage}, {"m/version", "3\n"}});
}
std::string file_of(const TestTensor& tensor) { return file_of(dict_of({tensor})); }

std::vector<CheckpointTensor> read(const std::string& file) {
  return read_torch_pt(testkit::source_of(file));
}
std::string error(const std::string& file) {
  return testkit::error_of([&] { read(file); });
}
std::string tensor_error(const TestTensor& tensor) { return error(file_of(tensor)); }

std::string bytes_of(const CheckpointTensor& tensor) {
  return testkit::read_bytes(*tensor.source, tensor.offset, tensor.bytes);
}

// Figures computed by Python from the same file.
TEST(TorchPt, ReadsThePredictorOfTheTestModel) {
  const auto tensors =
      read_torch_pt(std::make_shared<File>(testkit::shipped("model/model_lm_head.pt")));
  ASSERT_EQ(tensors.size(), 2U);
  struct Expected {
    std::string name;
    std::vector<uint64_t> shape;
    uint64_t offset, hash;
    float first, last;
    double sum;
  };
  const Expected expected[] = {
      {"fc1.weight",
       {32, 256},
       448,
       0x79cf335f7420e9b2,
       -0x1.0ep-2F,
       -0x1.f4p-4F,
       -1.6370023488998413},
      {"fc2.weight",
       {4096, 32},
       33344,
       0x0b19116723a2732a,
       0x1.eep-8F,
       -0x1.bap-5F,
       1985.3005743026733},
  };
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(tensors[i].name, expected[i].name);
    EXPECT_EQ(tensors[i].type, DType::kF32);
    EXPECT_EQ(tensors[i].shape, expected[i].shape);
    EXPECT_EQ(tensors[i].offset, expected[i].offset);
    const std::string bytes = bytes_of(tensors[i]);
    EXPECT_EQ(testkit::fnv1a(bytes), expected[i].hash);
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    EXPECT_EQ(values.front(), expected[i].first);
    EXPECT_EQ(values.back(), expected[i].last);
    EXPECT_EQ(std::accumulate(values.begin(), values.end(), 0.0), expected[i].sum);
  }
}

TEST(TorchPt, KeepsTheOrderAndSharesStorages) {
  const TestTensor whole = {.name = "z"};
  const TestTensor part = {.name = "a", .offset = 2, .shape = {4}, .strides = {1}};
  const TestTensor scalar = {.name = "s", .offset = 5, .shape = {}, .strides = {}};
  const auto tensors = read(file_of(dict_of({whole, part, scalar})));
  ASSERT_EQ(tensors.size(), 3U);
  EXPECT_EQ(tensors[0].name, "z");
  EXPECT_EQ(bytes_of(tensors[0]), floats(6));
  EXPECT_EQ(tensors[1].name, "a");
  EXPECT_EQ(bytes_of(tensors[1]), floats(6).substr(8));
  EXPECT_EQ(tensors[2].shape.size(), 0U);
  EXPECT_EQ(bytes_of(tensors[2]), le(5.0F));
}

TEST(TorchPt, HalfTypes) {
  const TestTensor half = {.name = "h", .storage = "ctorch\nHalfStorage\n"};
  const TestTensor brain = {.name = "b", .storage = "ctorch\nBFloat16Storage\n"};
  const auto tensors = read(file_of(dict_of({half, brain}), "0123456789ab"));
  ASSERT_EQ(tensors.size(), 2U);
  EXPECT_EQ(tensors[0].type, DType::kF16);
  EXPECT_EQ(tensors[1].type, DType::kBF16);
  EXPECT_EQ(tensors[1].bytes, 12U);
}

TEST(TorchPt, StridesThatDoNotMatter) {
  EXPECT_EQ(tensor_error({.shape = {1, 6}, .strides = {99, 1}}), "no error");
  EXPECT_EQ(tensor_error({.shape = {6, 1}, .strides = {1, 99}}), "no error");
  EXPECT_EQ(tensor_error({.shape = {2, 0}, .strides = {1, 1}}), "no error");  // empty
}

TEST(TorchPt, OrderedDictAtTheTop) {
  const std::string items = cat("(", pickled("w"), TestTensor().pickle(), "u");
  const std::string dict =
      "\x80\x02"
      "ccollections\nOrderedDict\n)R" +
      items;
  EXPECT_EQ(error(file_of(dict + ".")), "no error");
  EXPECT_EQ(error(file_of(cat(dict, "}", pickled("_metadata"), "}sb."))), "no error");
}

TEST(TorchPt, EmptyStateDict) { EXPECT_TRUE(read(file_of(dict_of({}))).empty()); }

TEST(TorchPt, ByteOrder) {
  const auto with_order = [](const std::string& order) {
    return zip_of({{"m/data.pkl", dict_of({TestTensor()})},
                   {"m/byteorder", order},
                   {"m/data/0", floats(6)},
                   {"m/version", "3\n"}});
  };
  EXPECT_EQ(error(with_order("little")), "no error");
  EXPECT_EQ(error(with_order("big")), "byteorder: want little");
}

TEST(TorchPtHostile, EveryPrefix) {
  const std::string file = file_of(dict_of({TestTensor()}));
  EXPECT_EQ(error(file), "no error");
  for (size_t n = 0; n < file.size(); ++n) EXPECT_NE(error(file.substr(0, n)), "no error") << n;
}

TEST(TorchPtHostile, EveryByteFlipped) {
  const std::string file = file_of(dict_of({TestTensor()}));
  for (size_t i = 0; i < file.size(); ++i) {
    for (const int bit : {0x01, 0x80, 0xff}) {
      std::string changed = file;
      changed[i] = static_cast<char>(changed[i] ^ bit);
      error(changed);  // either is fine, as long as it comes back
    }
  }
}

TEST(TorchPtHostile, LegacyFile) {
  try {
    read(
        "\x80\x02\x8a\x0a"
        "l\xfc\x9c"
        "F\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kUnsupported);
    EXPECT_STREQ(e.what(), "legacy (pre-1.6) torch file; re-save it");
  }
}

TEST(TorchPtHostile, OtherFiles) {
  EXPECT_EQ(error("GGUF and so on"), "not a torch file: it is a GGUF file");
  EXPECT_EQ(error(zip_of({{"m/version", "3\n"}})), "not a torch file: no entry data.pkl");
  EXPECT_EQ(error(zip_of({{"data.pkl", "x"}})), "not a torch file: no entry data.pkl");
  EXPECT_EQ(error(zip_of({{"m/data.pkl", "x"}})), "not a torch file: no entry version");
  EXPECT_EQ(error(zip_of({{"m/data.pkl", "x"}, {"n/data.pkl", "x"}})),
            "two entries named data.pkl");
}

TEST(TorchPtHostile, Version) {
  const auto version = [](const std::string& text) {
    return error(zip_of({{"m/data.pkl", dict_of({})}, {"m/version", text}}));
  };
  EXPECT_EQ(version("10"), "no error");
  EXPECT_EQ(version("11\n"), "version 11 unsupported (1-10)");
  EXPECT_EQ(version("0\n"), "version 0 unsupported (1-10)");
  for (const std::string text : {"", "x", "-1", "3 ", "99999999999999", "99999999999999999999"}) {
    EXPECT_PRED2(contains, version(text), "version") << text;
  }
}

TEST(TorchPtHostile, CompressedEntry) {
  ZipItem item("m/data/0", floats(6));
  item.local.method = item.central.method = 8;
  EXPECT_EQ(error(zip_of({{"m/data.pkl", dict_of({TestTensor()})}, item, {"m/version", "3\n"}})),
            "entry 'm/data/0': compressed entries not allowed");
}

TEST(TorchPtHostile, Code) {
  EXPECT_PRED2(contains,
               error(file_of("\x80\x02"
                             "cos\nsystem\nX\4\0\0\0true\x85R.")),
               "pickle: global 'os.system' not allowed");
}

TEST(TorchPtHostile, NoStateDict) {
  EXPECT_EQ(error(file_of("\x80\x02].")), "want a state dict: names and tensors");
  EXPECT_EQ(error(file_of(cat("\x80\x02", TestTensor().pickle(), "."))),
            "want a state dict: names and tensors");
  EXPECT_EQ(error(file_of(cat("\x80\x02}K\1", TestTensor().pickle(), "s."))),
            "a key of the state dict is not a string");
}

TEST(TorchPtHostile, ValueIsNoTensor) {
  for (const std::string value :
       {"K\1", "N", "}", "]", "G12345678", ")", "ctorch\nFloatStorage\n"}) {
    EXPECT_EQ(error(file_of(cat("\x80\x02}", pickled("lr"), value, "s."))),
              "tensor 'lr': not a tensor");
  }
}

TEST(TorchPtHostile, SameNameTwice) {
  EXPECT_EQ(error(file_of(dict_of({TestTensor(), TestTensor()}))), "tensor 'w': listed twice");
}

TEST(TorchPtHostile, ControlBytesInAName) {
  EXPECT_EQ(tensor_error({.name = "\x1b]8;;", .key = "9"}),
            "tensor '\\x1b]8;;': storage: no entry 'data/9'");
}

TEST(TorchPtHostile, PersistentIdOfAWrongKind) {
  const std::string want = "want ('storage', type, key, location, count)";
  EXPECT_PRED2(contains, tensor_error({.kind = "module"}), want);
  EXPECT_PRED2(contains, tensor_error({.storage = "N"}), want);
  EXPECT_PRED2(contains, tensor_error({.storage = pickled("torch.FloatStorage")}), want);
  EXPECT_PRED2(contains, tensor_error({.storage = "ccollections\nOrderedDict\n"}),
               "'collections.OrderedDict' is not a storage type");
  const std::string call = "ctorch._utils\n_rebuild_tensor_v2\n(";
  const auto with_storage = [&](const std::string& storage) {
    return error(file_of(cat("\x80\x02}", pickled("w"), call, storage,
                             std::string("K\0K\6\x85K\1\x85\x89}tRs.", 14))));
  };
  EXPECT_EQ(with_storage(TestTensor().id() + "Q"), "no error");
  EXPECT_PRED2(contains, with_storage("K\1Q"), want);
  EXPECT_PRED2(contains, with_storage(")Q"), want);
  EXPECT_PRED2(contains, with_storage(TestTensor().id()), "storage: want a persistent id");
}

TEST(TorchPtHostile, Arguments) {
  EXPECT_PRED2(contains, tensor_error({.more = "}"}), "want 6 arguments");
  EXPECT_PRED2(
      contains,
      error(file_of(cat("\x80\x02}", pickled("w"), "ctorch._utils\n_rebuild_tensor_v2\n)Rs."))),
      "want 6 arguments");
}

TEST(TorchPtHostile, StorageSmallerThanItSays) {
  EXPECT_EQ(tensor_error({.count = 7}),
            "tensor 'w': storage: entry 'data/0' has 24 bytes, too few for 7 values");
  EXPECT_PRED2(contains, tensor_error({.count = INT64_MAX}), "too few for");
  EXPECT_PRED2(contains, tensor_error({.count = int64_t{1} << 62}), "too few for");
  EXPECT_PRED2(contains, tensor_error({.count = -1}), "storage size: want a non-negative integer");
}

TEST(TorchPtHostile, StorageElsewhere) {
  EXPECT_PRED2(contains, tensor_error({.key = "1"}), "no entry 'data/1'");
  EXPECT_PRED2(contains, tensor_error({.key = "../version"}), "no entry 'data/../version'");
}

TEST(TorchPtHostile, PastTheStorage) {
  EXPECT_EQ(tensor_error({.offset = 1}),
            "tensor 'w': 6 values at 1 past the end of the storage (6)");
  EXPECT_EQ(tensor_error({.shape = {7}, .strides = {1}}),
            "tensor 'w': 7 values at 0 past the end of the storage (6)");
  EXPECT_PRED2(contains, tensor_error({.offset = INT64_MAX}), "past the end of the storage");
  EXPECT_PRED2(contains, tensor_error({.offset = -1}), "offset: want a non-negative integer");
}

TEST(TorchPtHostile, ShapeWraps) {
  constexpr int64_t k32 = int64_t{1} << 32;
  EXPECT_PRED2(contains, tensor_error({.shape = {k32, k32}, .strides = {k32, 1}}), "overflows");
  EXPECT_PRED2(contains, tensor_error({.shape = {0, k32, k32}, .strides = {1, k32, 1}}),
               "overflows");
  EXPECT_PRED2(contains, tensor_error({.shape = {-2, 3}}), "shape: want a non-negative integer");
  EXPECT_PRED2(
      contains,
      tensor_error({.shape = std::vector<int64_t>(9, 1), .strides = std::vector<int64_t>(9, 1)}),
      "shape: want a tuple of at most 8");
}

TEST(TorchPtHostile, Strides) {
  EXPECT_EQ(tensor_error({.strides = {1, 2}}),
            "tensor 'w': not contiguous: stride 2 of dimension 1, want 1");
  EXPECT_PRED2(contains, tensor_error({.strides = {4, 1}}), "stride 4 of dimension 0, want 3");
  EXPECT_PRED2(contains, tensor_error({.strides = {0, 1}}), "not contiguous");
  EXPECT_PRED2(contains, tensor_error({.strides = {-3, 1}}),
               "strides: want a non-negative integer");
  EXPECT_PRED2(contains, tensor_error({.strides = {1}}), "as many strides as dimensions");
}

TEST(TorchPtHostile, TooManyTensors) {
  const std::string items = testkit::repeat("h\1h\2", 65'537);
  EXPECT_EQ(error(file_of(cat("\x80\x02}", pickled("w"), "q\1N", "q\2s(", items, "u."))),
            "65538 tensors > 65536");
}

TEST(TorchPtHostile, HugePickle) {
  EXPECT_EQ(error(file_of(std::string((16U << 20) + 1, 'N'))),
            "data.pkl: 16777217 bytes > 16777216");
}

}  // namespace
}  // namespace st

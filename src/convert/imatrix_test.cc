#include "convert/imatrix.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "support/bytes.h"
#include "support/temporary_folder.h"

namespace st {
namespace {

using testkit::error_of;

const std::string& folder() {
  static const TemporaryFolder folder;
  return folder.path();
}

struct Tensor {
  std::string name;
  std::vector<uint64_t> ne;
  std::vector<float> values;
};

// As another program may have written it.
std::string file_of(const std::vector<Tensor>& tensors, const std::string& type = "imatrix",
                    DType dtype = DType::kF32) {
  std::string path = folder() + "/made.gguf";
  GgufWriter out;
  if (!type.empty()) out.set("general.type", GgufValue::string(type));
  for (const Tensor& t : tensors) out.add_tensor(t.name, dtype, t.ne);
  out.begin(path);
  for (const Tensor& t : tensors) out.write(std::as_bytes(std::span(t.values)));
  out.finish();
  return path;
}

TEST(Imatrix, IsWrittenAndRead) {
  const std::string path = folder() + "/out.gguf";
  write_imatrix(path, {{"a.txt", "b.txt"}, 3, 512},
                {{"blk.0.attn_q.weight", {{8, 4}, {4}}},
                 {"blk.0.ffn_up_exps.weight", {{1, 2, 3, 9, 9, 9, 5, 5, 10}, {1, 0, 5}}}});
  const ImatrixFile file(path);
  EXPECT_EQ(file.source().datasets, (std::vector<std::string>{"a.txt", "b.txt"}));
  EXPECT_EQ(file.source().chunks, 3u);
  EXPECT_EQ(file.source().chunk_size, 512u);
  EXPECT_EQ(file.tensors(),
            (std::vector<std::string>{"blk.0.attn_q.weight", "blk.0.ffn_up_exps.weight"}));
  EXPECT_EQ(file.find("blk.0.attn_q.weight", 2, 1), (std::vector<float>{2, 1}));
  // An expert that was never chosen says nothing of its columns.
  EXPECT_EQ(file.find("blk.0.ffn_up_exps.weight", 3, 3),
            (std::vector<float>{1, 2, 3, 1, 1, 1, 1, 1, 2}));
  EXPECT_EQ(file.find("output.weight", 2, 1), std::nullopt);

  // llama.cpp's names, shapes and types.
  const GgufModel gguf(path);
  EXPECT_EQ(*gguf.metadata().find_string("general.type"), "imatrix");
  const auto squares = gguf.find("blk.0.ffn_up_exps.weight.in_sum2");
  EXPECT_EQ(squares.info->ne, (std::vector<uint64_t>{3, 3}));
  EXPECT_EQ(gguf.find("blk.0.ffn_up_exps.weight.counts").info->ne, (std::vector<uint64_t>{1, 3}));
}

// Newer files have the plain sums beside those of squares.
TEST(Imatrix, PlainSumsMayBeThere) {
  const ImatrixFile file(
      file_of({{"x.in_sum2", {2}, {4, 8}}, {"x.in_sum", {2}, {1, -2}}, {"x.counts", {1}, {4}}}));
  EXPECT_EQ(file.find("x", 2, 1), (std::vector<float>{1, 2}));
}

TEST(Imatrix, WhatIsNoneIsRefused) {
  const auto open = [](const std::string& path) { return error_of([&] { ImatrixFile{path}; }); };
  const Tensor squares{"x.in_sum2", {2, 1}, {4, 8}}, counts{"x.counts", {1, 1}, {4}};
  const std::string in = folder() + "/made.gguf: ";
  EXPECT_EQ(open(file_of({squares, counts}, "")),
            in + "is no imatrix: general.type is missing, want 'imatrix'");
  EXPECT_EQ(open(file_of({squares, counts}, "model")),
            in + "is no imatrix: general.type is 'model', want 'imatrix'");
  EXPECT_EQ(open(file_of({squares})), in + "tensor 'x.counts': missing");
  EXPECT_EQ(open(file_of({counts})), in + "tensor 'x.in_sum2': missing");
  EXPECT_EQ(open(file_of({squares, counts, {"x.weight", {1}, {1}}})),
            in + "tensor 'x.weight': not known in an imatrix (known: NAME.in_sum2, NAME.counts)");
  EXPECT_EQ(open(file_of({{"x.in_sum2", {2}, {1}}}, "imatrix", DType::kF16)),
            in + "tensor 'x.in_sum2': type F16, want F32");
  const std::string older = folder() + "/older.dat";
  std::ofstream(older) << testkit::le(1) << testkit::le(1) << 'x' << testkit::le(1);
  EXPECT_EQ(open(older), older +
                             ": not a GGUF file; of the older format 'llama-imatrix --in-file "
                             "OLD.dat -o NEW.gguf' makes one");
  EXPECT_EQ(open(folder() + "/none.gguf"),
            folder() + "/none.gguf: cannot open: No such file or directory");
}

TEST(Imatrix, OtherShapesAndImpossibleValuesAreRefused) {
  const Tensor squares{"x.in_sum2", {2, 3}, {1, 2, 3, 4, 5, 6}},
      counts{"x.counts", {1, 3}, {1, 1, 1}};
  const std::string in = folder() + "/made.gguf: ";
  const auto find = [](const std::vector<Tensor>& tensors, uint64_t cols, uint64_t matrices) {
    const ImatrixFile file(file_of(tensors));
    return error_of([&] { file.find("x", cols, matrices); });
  };
  EXPECT_EQ(find({squares, counts}, 2, 3), "no error");
  EXPECT_EQ(find({squares, counts}, 3, 2), in + "tensor 'x.in_sum2': shape [2, 3], want [3, 2]");
  EXPECT_EQ(find({squares, counts}, 2, 4), in + "tensor 'x.in_sum2': shape [2, 3], want [2, 4]");
  EXPECT_EQ(find({squares, {"x.counts", {1}, {1}}}, 2, 3),
            in + "tensor 'x.counts': shape [1], want [1, 3]");
  EXPECT_EQ(find({squares, {"x.counts", {1, 3}, {1, -1, 1}}}, 2, 3),
            in + "tensor 'x.counts': value 1 is -1: want a finite number, 0 or more");
  EXPECT_EQ(find({squares, {"x.counts", {1, 3}, {1, 0.5f, 1}}}, 2, 3),
            in + "tensor 'x.counts': 0.5 rows: want a whole number");
  Tensor bad = squares;
  bad.values[4] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(find({bad, counts}, 2, 3),
            in + "tensor 'x.in_sum2': value 4 is nan: want a finite number, 0 or more");
}

}  // namespace
}  // namespace st

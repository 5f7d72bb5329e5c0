#include "weights/weight_store.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/gguf_builder.h"
#include "weights/expert_layer.h"

namespace st {
namespace {

using namespace testkit;

// "m": F32 (2, 3), "s": F32 stack of 2 x (1, 2), "v": F16 (4).
std::shared_ptr<const ByteSource> file_bytes() {
  GgufBuilder b;
  b.infos = {tensor_info("m", {3, 2}, 0, 0), tensor_info("s", {2, 1, 2}, 0, 32),
             tensor_info("v", {4}, 1, 64), tensor_info("n", {2, 1}, 0, 96)};
  const std::vector<float> values{0, 1, 2, 3, 4, 5, -1, -1, 6, 7, 8, 9, -1, -1, -1, -1};
  b.data = std::string(reinterpret_cast<const char*>(values.data()), values.size() * 4) +
           std::string(32, '\0') + std::string(8, '\0');
  return source_of(b.build());
}

TEST(WeightStore, FillsWhatWasAskedFor) {
  const GgufModel model(file_bytes());
  WeightStore store(model);
  const Matrix m = store.matrix("m", 2, 3);
  const MatrixStack s = store.stack("s", 2, 1, 2);
  EXPECT_EQ(store.matrix("m", 2, 3).data, m.data);
  EXPECT_EQ(store.bytes(), 24u + 16u);
  uint64_t last = 0;
  store.read_all(2, [&](std::string_view, uint64_t done, uint64_t total) {
    EXPECT_EQ(total, 40u);
    last = done;
  });
  EXPECT_EQ(last, 40u);
  EXPECT_EQ(reinterpret_cast<const float*>(m.row(1))[2], 5.0f);
  EXPECT_EQ(reinterpret_cast<const float*>(s[1].data)[1], 9.0f);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(s.prototype.data) % 64, 0u);
}

TEST(WeightStore, RefusesWhatDoesNotFit) {
  const GgufModel model(file_bytes());
  WeightStore store(model);
  EXPECT_EQ(error_of([&] { store.matrix("x", 2, 3); }), "tensor 'x': missing");
  EXPECT_EQ(error_of([&] { store.matrix("m", 3, 2); }), "tensor 'm': shape [3,2], want [2,3]");
  EXPECT_EQ(error_of([&] { store.stack("s", 3, 1, 2); }),
            "tensor 's': shape [2,1,2], want [2,1,3]");
  EXPECT_EQ(error_of([&] { store.vector("v", 4); }), "tensor 'v': type F16, want F32");
  EXPECT_NO_THROW(store.vector("n", 2));  // trailing dimensions of 1 do not count
}

// A source that fails beyond its directory, as a broken disk would.
class BrokenSource final : public ByteSource {
 public:
  explicit BrokenSource(std::shared_ptr<const ByteSource> good) : good_(std::move(good)) {}
  uint64_t size() const override { return good_->size(); }
  void read_at(uint64_t offset, std::span<std::byte> out) const override {
    if (broken) fail(ErrorCode::kIo, "read error at {}: Input/output error", offset);
    good_->read_at(offset, out);
  }
  bool broken = false;

 private:
  std::shared_ptr<const ByteSource> good_;
};

TEST(WeightStore, ReportsReadErrorsOnce) {
  const auto source = std::make_shared<BrokenSource>(file_bytes());
  const GgufModel model(source);
  WeightStore store(model);
  store.matrix("m", 2, 3);
  source->broken = true;
  EXPECT_TRUE(contains(error_of([&] { store.read_all(4, {}); }), "tensor 'm': read error at"));
}

TEST(WeightStore, ProgressMayCancel) {
  const GgufModel model(file_bytes());
  WeightStore store(model);
  store.matrix("m", 2, 3);
  const Progress cancel = [](std::string_view, uint64_t, uint64_t) {
    fail(ErrorCode::kCancelled, "interrupted");
  };
  EXPECT_TRUE(contains(error_of([&] { store.read_all(1, cancel); }), "interrupted"));
}

}  // namespace
}  // namespace st

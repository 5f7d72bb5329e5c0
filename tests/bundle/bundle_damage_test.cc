// Bundles that are damaged or lie: always an Error, never a wrong logit.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>

#include "arch/architecture.h"
#include "base/error.h"
#include "bundle/bundle_fixture.h"
#include "support/bytes.h"
#include "weights/bundle.h"

namespace st::golden {
namespace {

using testkit::contains;
using testkit::error_of;

struct BundleDamage : testing::Test {
  const TemporaryFolder folder;
  const std::string path = folder / "bundle.gguf";

  BundleDamage() {
    write_bundle({.input = converted("variants/micro-4b-style", DType::kQ4_0, false),
                  .output = path,
                  .expert_bundle = {},
                  .progress = {}});
  }

  // Flips a bit of the file as a failing disk does, which tells nobody.
  void flip(uint64_t at, unsigned bit = 3) const {
    const int fd = ::open(path.c_str(), O_RDWR);
    struct stat before{};
    ASSERT_EQ(::fstat(fd, &before), 0);
    unsigned char byte = 0;
    ASSERT_EQ(::pread(fd, &byte, 1, static_cast<off_t>(at)), 1);
    byte = static_cast<unsigned char>(byte ^ (1U << bit));
    ASSERT_EQ(::pwrite(fd, &byte, 1, static_cast<off_t>(at)), 1);
    const timespec times[] = {before.st_atim, before.st_mtim};
    ASSERT_EQ(::futimens(fd, times), 0);
    ::fsync(fd);
    ::close(fd);
  }

  using Edit = std::function<void(std::vector<GgufEntry>&, std::vector<GgufTensor>&)>;
  // The error of a copy with other keys and tensors; names of tensors say where the data is from.
  std::string error_with(const Edit& edit, uint32_t alignment = bundle::kAlignment) const {
    const GgufModel model(path);
    std::vector<GgufEntry> entries = model.metadata().entries();
    std::erase_if(entries, [](const GgufEntry& e) { return e.key == "general.alignment"; });
    std::vector<GgufTensor> tensors = model.metadata().tensors();
    edit(entries, tensors);
    GgufWriter out(alignment);
    for (GgufEntry& entry : entries) out.set(entry.key, std::move(entry.value));
    for (const GgufTensor& t : tensors) out.add_tensor(t.name, t.type, t.ne);
    out.begin(folder / "edited.gguf");
    for (const GgufTensor& t : out.tensors()) {
      std::vector<std::byte> data(t.bytes);
      const auto from = model.find(t.name);
      if (from && from.info->bytes == t.bytes) from.source->read_at(from.info->offset, data);
      out.write(data);
    }
    out.finish();
    return error_of([&] { Engine(folder / "edited.gguf", {.threads = 1}); });
  }
  std::string error_with_key(std::string_view key, const GgufValue& value) const {
    return error_with([&](auto& entries, auto&) {
      std::ranges::find(entries, key, &GgufEntry::key)->value = value;
    });
  }
};

TEST_F(BundleDamage, EveryFlippedBitIsSeen) {
  constexpr int kFlips = 12'000;
  std::string bytes = slurp(path);
  const GgufModel model(std::make_shared<MemorySource>(std::as_bytes(std::span(bytes))));
  const Architecture& architecture = find_architecture(model.metadata());
  Notices notices;
  const ModelConfig config = architecture.read_config(model, {}, notices);
  WeightStore store(model, true);
  const auto decoder = architecture.load(store, config);
  const Weights& weights = decoder->weights();
  const auto L = static_cast<uint64_t>(config.layers),
             E = static_cast<uint64_t>(config.most_experts());
  std::mt19937_64 random(4);
  const auto good = [&](const MatrixStack& stack, uint64_t e) {
    const uint64_t at = stack.file.offset + e * stack.file.step;
    return !damage(stack, static_cast<int64_t>(e),
                   std::as_bytes(std::span(bytes).subspan(at, stack.file.bytes)));
  };
  int unseen = 0;
  for (int i = 0; i < kFlips; ++i) {
    const ExpertLayer& layer = weights.experts[random() % L];
    const uint64_t e = random() % E;
    const uint64_t in_expert = random() % layer.gate.file.step;
    const uint64_t at = layer.gate.file.offset + e * layer.gate.file.step + in_expert;
    const auto mask = static_cast<char>(1 << random() % 8);
    // The part that has this byte, by the documented order; there is no byte that none has.
    const MatrixStack& part = in_expert < layer.gate.file.bytes ? layer.gate
                              : in_expert < layer.gate.file.bytes + layer.up.file.bytes
                                  ? layer.up
                                  : layer.down;
    ASSERT_TRUE(good(part, e));
    bytes[at] = static_cast<char>(bytes[at] ^ mask);
    unseen += good(part, e);
    bytes[at] = static_cast<char>(bytes[at] ^ mask);
  }
  EXPECT_EQ(unseen, 0);
}

TEST_F(BundleDamage, LoadingNamesTheExpert) {
  const GgufModel model(path);
  const auto tensor = model.find(bundle::experts_tensor(1));
  const uint64_t step = tensor.info->ne[0];
  flip(tensor.info->offset + 3 * step + step - 1);  // the padding of down counts too
  EXPECT_TRUE(contains(error_of([&] { Engine(path, {.threads = 2}); }),
                       "layer 1 down: expert 3: damaged: its checksum differs"));
}

TEST_F(BundleDamage, ReadingUnderABudgetNamesTheExpertAndGoesOn) {
  std::vector<float> want;
  {
    Engine engine(path, {.threads = 2, .context = 64});
    want = some_logits(engine);
  }
  const GgufModel model(path);
  const auto tensor = model.find(bundle::experts_tensor(0));
  const auto flip_all = [&] {
    for (uint64_t e = 0; e < tensor.info->ne[1]; ++e) {
      flip(tensor.info->offset + e * tensor.info->ne[0] + 5);
    }
  };
  const EngineOptions within_budget{.threads = 1, .context = 64, .memory = uint64_t{8} << 30};
  flip_all();
  {
    Engine engine(path, within_budget);
    for (int tries = 0; tries < 3; ++tries) {
      const std::string error = error_of([&] { some_logits(engine); });
      EXPECT_TRUE(contains(error, "expert 0/") && contains(error, " gate: damaged")) << error;
    }
    flip_all();  // a repair is a change of the file as well
    EXPECT_EQ(error_of([&] { some_logits(engine); }), path + ": the file was changed while in use");
  }
  Engine engine(path, within_budget);
  EXPECT_TRUE(same_bits(want, some_logits(engine)));
}

TEST_F(BundleDamage, KeysAndTensorsMustFit) {
  const auto integers = [](std::vector<int32_t> values) {
    return GgufValue::array(GgufArray::of(std::span<const int32_t>(values)));
  };
  EXPECT_EQ(error_with([](auto&, auto&) {}), "no error");
  for (const uint32_t version : {0u, 3u}) {
    EXPECT_TRUE(contains(error_with_key(bundle::kVersionKey, GgufValue::u32(version)),
                         fmt::format("bundle version {}, want 1..2: make it again", version)));
  }
  EXPECT_EQ(error_with_key(bundle::kVersionKey, GgufValue::u32(1)), "no error");  // of Q4_0
  EXPECT_TRUE(contains(error_with_key(bundle::kVersionKey, GgufValue::string("1")), "want u32"));
  EXPECT_TRUE(contains(error_with_key(bundle::kTypesKey, integers({2, 2, 2})), "3 entries, want"));
  EXPECT_TRUE(contains(error_with_key(bundle::kLayoutsKey, integers({0})), "1 entries, want"));
  const GgufModel model(path);
  const auto layers = model.metadata().get_u32("smallthinker.block_count");
  const std::vector<int32_t> ones(layers, 1);
  for (const int32_t type : {99, -1, 1, 12, 4, INT32_MAX}) {
    EXPECT_TRUE(contains(
        error_with_key(bundle::kTypesKey, integers(std::vector<int32_t>(3 * layers, type))),
        type == 1    ? "cannot be regrouped"
        : type == 12 ? "rows of 128 values are no whole blocks of Q4_K"
                     : "types: type"))
        << type;
  }
  for (const int32_t layout : {-1, 3}) {
    EXPECT_TRUE(contains(
        error_with_key(bundle::kLayoutsKey, integers(std::vector<int32_t>(layers, layout))),
        "want 0..2"));
  }
  EXPECT_TRUE(contains(
      error_with_key(bundle::kTypesKey, integers(std::vector<int32_t>(3 * layers, 8))), "want I8"));
  const auto first_version = [&](auto& entries, auto&) {
    for (GgufEntry& entry : entries) {
      if (entry.key == bundle::kVersionKey) entry.value = GgufValue::u32(1);
      if (entry.key == bundle::kTypesKey)
        entry.value = integers(std::vector<int32_t>(3 * layers, 3));
    }
  };
  EXPECT_TRUE(
      contains(error_with(first_version), "bundle version 1 of Q4_1 experts: make it again"));
  const auto tensor = [&](std::string_view name, auto change) {
    return error_with([&](auto&, std::vector<GgufTensor>& tensors) {
      change(tensors, std::ranges::find(tensors, name, &GgufTensor::name));
    });
  };
  const auto drop = [](auto& tensors, auto it) { tensors.erase(it); };
  const auto grow = [](auto&, auto it) { ++it->ne[1]; };
  const auto retype = [](auto&, auto it) {
    it->type = DType::kF32;
    it->ne[0] /= 4;
  };
  for (const std::string& name : {std::string(bundle::kChecksums), std::string("blk.1.exps")}) {
    EXPECT_TRUE(contains(tensor(name, drop), "tensor '" + name + "': missing"));
    EXPECT_TRUE(contains(tensor(name, grow), "tensor '" + name + "': I8 ["));
    EXPECT_TRUE(contains(tensor(name, retype), "tensor '" + name + "': F32 ["));
  }
  EXPECT_TRUE(contains(error_with([](auto&, auto&) {}, 32), "is not aligned to 4096"));
}

TEST_F(BundleDamage, CutAnywhere) {
  const std::string bytes = slurp(path);
  for (size_t i = 0; i < 60; ++i) {
    spill(folder / "cut.gguf", bytes.substr(0, bytes.size() * i / 60));
    EXPECT_NE(error_of([&] { Engine(folder / "cut.gguf", {.threads = 1}); }), "no error") << i;
  }
  spill(folder / "cut.gguf", bytes.substr(0, bytes.size() - 4096));
  EXPECT_NE(error_of([&] { Engine(folder / "cut.gguf", {.threads = 1}); }), "no error");
}

}  // namespace
}  // namespace st::golden

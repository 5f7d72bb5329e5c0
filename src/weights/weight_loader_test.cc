#include "weights/weight_loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <set>

#include "support/gguf_builder.h"
#include "weights/expert_layer.h"

namespace st {
namespace {

using namespace testkit;

constexpr uint64_t kExperts = 3;

// Small F32 tensors, each of one value again and again, in an order that is not that of a pass.
class Tensors {
 public:
  Tensors() {
    for (const char* name : {"table", "blk.1.gate", "blk.1.up", "blk.1.down", "blk.0.gate",
                             "blk.0.up", "blk.0.down", "blk.1.attn", "blk.0.attn", "head"}) {
      const bool experts =
          std::string_view(name).starts_with("blk.1.") && !std::string_view(name).ends_with("attn");
      const uint64_t count = experts ? kExperts : 1;
      names.push_back(name);
      builder.infos.push_back(tensor_info(name, {2, 4, count}, 0, builder.data.size()));
      builder.data.resize(builder.data.size() + count * 32);
      fill(name, value(name));
    }
  }

  static float value(std::string_view name) {
    return static_cast<float>(std::hash<std::string_view>()(name) % 1000 + 1);
  }
  void fill(std::string_view name, float x) {
    const auto i = static_cast<size_t>(std::ranges::find(names, name) - names.begin());
    size_t at = 0;
    for (size_t before = 0; before < i; ++before) at += bytes(names[before]);
    for (size_t j = 0; j < bytes(name); j += 4) patch(builder.data, at + j, x);
  }
  static size_t bytes(std::string_view name) {
    return name.starts_with("blk.1.") && !name.ends_with("attn") ? kExperts * 32 : 32;
  }

  GgufBuilder builder;
  std::vector<std::string> names;
};

// Notes what is read of it once it should, and may wait, or fail, where it is told to.
class WatchedSource final : public ByteSource {
 public:
  explicit WatchedSource(std::shared_ptr<const ByteSource> good) : good_(std::move(good)) {}
  uint64_t size() const override { return good_->size(); }
  void read_at(uint64_t offset, std::span<std::byte> out) const override {
    if (watch) {
      std::unique_lock lock(mutex_);
      reads_.push_back(offset);
      opened_.wait(lock, [&] { return open_; });
      if (offset == late) opened_.wait(lock, [&] { return failed_; });
      if (offset == broken || offset == late) {
        failed_ = true;
        opened_.notify_all();
        fail(ErrorCode::kIo, "read error at {}: Input/output error", offset);
      }
    }
    good_->read_at(offset, out);
  }
  void close() {
    const std::lock_guard lock(mutex_);
    open_ = false;
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    opened_.notify_all();
  }
  std::vector<uint64_t> reads() const {
    const std::lock_guard lock(mutex_);
    return reads_;
  }

  std::atomic<bool> watch = false;
  std::atomic<uint64_t> broken = 0;
  std::atomic<uint64_t> late = 0;  // fails as well, but later

 private:
  const std::shared_ptr<const ByteSource> good_;
  mutable std::mutex mutex_;
  mutable std::condition_variable opened_;
  mutable std::vector<uint64_t> reads_;
  mutable bool failed_ = false;
  bool open_ = true;
};

// A store of those tensors, as a model asks for them.
struct LoaderRig {
  explicit LoaderRig(const Tensors& tensors = {})
      : source(std::make_shared<WatchedSource>(source_of(tensors.builder.build()))),
        model(source),
        store(model) {
    for (const char* name : {"blk.0.attn", "blk.1.attn", "head"}) {
      matrices[name] = store.matrix(name, 4, 2);
    }
    for (const int64_t l : {0, 1}) {
      const auto part = [&](const char* of) {
        return store.stack(fmt::format("blk.{}.{}", l, of), l == 0 ? 1 : 3, 4, 2);
      };
      layers.push_back({.gate = part("gate"), .up = part("up"), .down = part("down")});
    }
    table = store.rows("table", 4, 2);
    source->watch = true;
  }
  // The tensors that were read so far, "blk.1.gate 2" of a stack.
  std::vector<std::string> read() const {
    std::vector<std::string> names;
    for (const uint64_t at : source->reads()) {
      for (const auto& [info, file] : model.tensors()) {
        if (at < info->offset || at >= info->offset + info->bytes) continue;
        const bool stack = info->bytes > 32;
        names.push_back(stack ? fmt::format("{} {}", info->name, (at - info->offset) / 32)
                              : info->name);
      }
    }
    return names;
  }
  uint64_t place(std::string_view name) const { return model.find(name).info->offset; }

  std::shared_ptr<WatchedSource> source;
  const GgufModel model;
  WeightStore store;
  std::map<std::string, Matrix> matrices;
  std::vector<ExpertLayer> layers;
  MatrixRows table;
};

float first(const Matrix& m) { return reinterpret_cast<const float*>(m.data)[0]; }

using Names = std::vector<std::string>;

TEST(WeightLoader, ReadsInTheOrderOfAPass) {
  const LoaderRig rig;
  WeightLoader loader(rig.store, 0);
  EXPECT_FALSE(loader.complete());
  loader.await_all({}, Stop::never());
  EXPECT_TRUE(loader.complete());
  EXPECT_EQ(rig.read(),
            (Names{"head", "blk.0.attn", "blk.0.gate", "blk.0.up", "blk.0.down", "blk.1.attn",
                   "table", "blk.1.gate 0", "blk.1.gate 1", "blk.1.gate 2", "blk.1.up 0",
                   "blk.1.up 1", "blk.1.up 2", "blk.1.down 0", "blk.1.down 1", "blk.1.down 2"}));
  EXPECT_EQ(loader.bytes_read(), 16u * 32);
}

TEST(WeightLoader, WhatIsAwaitedIsReadAlone) {
  const LoaderRig rig;
  WeightLoader loader(rig.store, 0);
  loader.await_layer(1, Stop::never());
  loader.await(rig.layers[1].up.unit + 2, Stop::never());
  EXPECT_EQ(rig.read(), (Names{"blk.1.attn", "blk.1.up 2"}));
  EXPECT_EQ(loader.bytes_read(), 64u);
  EXPECT_EQ(first(rig.matrices.at("blk.1.attn")), Tensors::value("blk.1.attn"));
  EXPECT_EQ(first(rig.layers[1].up[2]), Tensors::value("blk.1.up"));
  EXPECT_TRUE(loader.here(rig.layers[1].up.unit + 2));
  EXPECT_FALSE(loader.here(rig.layers[1].up.unit + 1));
  loader.await_layer(1, Stop::never());  // nothing is read twice
  loader.await_layer(7, Stop::never());
  EXPECT_EQ(loader.bytes_read(), 64u);
  EXPECT_FALSE(loader.complete());
}

TEST(WeightLoader, WhatIsAskedForComesFirst) {
  const LoaderRig rig;
  WeightLoader loader(rig.store, 0);
  const WeightUnit up = rig.layers[1].up.unit;
  loader.ask(std::vector{up + 1, up});
  loader.await_all({}, Stop::never());
  const Names names = rig.read();
  EXPECT_EQ(Names(names.begin(), names.begin() + 3), (Names{"blk.1.up 1", "blk.1.up 0", "head"}));
  EXPECT_EQ(names.size(), 16u);
}

TEST(WeightLoader, PreferredExpertsComeBeforeOthers) {
  const LoaderRig rig;
  WeightLoader loader(rig.store, 0);
  const WeightUnit up = rig.layers[1].up.unit, down = rig.layers[1].down.unit;
  loader.await(down, Stop::never());
  loader.prefer(std::vector{down + 2, up, down});
  loader.await_all({}, Stop::never());
  EXPECT_EQ(rig.read(),
            (Names{"blk.1.down 0", "head", "blk.0.attn", "blk.0.gate", "blk.0.up", "blk.0.down",
                   "blk.1.attn", "table", "blk.1.down 2", "blk.1.up 0", "blk.1.gate 0",
                   "blk.1.gate 1", "blk.1.gate 2", "blk.1.up 1", "blk.1.up 2", "blk.1.down 1"}));
}

// Nothing that has begun is begun again, and what was left out is not forgotten.
TEST(WeightLoader, PreferencesMayComeLate) {
  const LoaderRig rig;
  WeightLoader loader(rig.store, 0);
  const WeightUnit gate = rig.layers[1].gate.unit;
  size_t pieces = 0;
  const auto prefer = [&](std::string_view, uint64_t, uint64_t) {
    if (++pieces == 9) loader.prefer(std::vector{gate + 2});
  };
  loader.await_all(prefer, Stop::never());
  const Names names = rig.read();
  EXPECT_EQ(names.size(), 16u);
  EXPECT_EQ(Names(names.begin() + 7, names.begin() + 11),
            (Names{"blk.1.gate 0", "blk.1.gate 1", "blk.1.gate 2", "blk.1.up 0"}));
  const Names late(names.begin() + 7, names.end());
  EXPECT_EQ(std::set(late.begin(), late.end()).size(), 9u);
}

TEST(WeightLoader, AnErrorIsEverybodys) {
  const LoaderRig rig;
  rig.source->broken = rig.place("blk.1.up") + 32;
  WeightLoader loader(rig.store, 0);
  const WeightUnit up = rig.layers[1].up.unit;
  loader.await(up, Stop::never());
  EXPECT_FALSE(loader.failed());
  const std::string want =
      fmt::format("tensor 'blk.1.up': read error at {}: Input/output error", rig.source->broken);
  EXPECT_EQ(error_of([&] { loader.await(up + 1, Stop::never()); }), want);
  EXPECT_TRUE(loader.failed());
  EXPECT_FALSE(loader.here(up + 1));
  EXPECT_EQ(error_of([&] { loader.await(up + 2, Stop::never()); }), want);
  EXPECT_EQ(error_of([&] { loader.await_layer(0, Stop::never()); }), want);
  EXPECT_EQ(error_of([&] { loader.check(); }), want);
  EXPECT_NO_THROW(loader.await(up, Stop::never()));  // what is there is right
  EXPECT_FALSE(loader.complete());
}

// Two threads meet one each, the second of the order first.
TEST(WeightLoader, TheFirstErrorIsThatOfTheOrder) {
  const LoaderRig rig;
  rig.source->late = rig.place("head");
  rig.source->broken = rig.place("blk.0.attn");
  WeightLoader loader(rig.store, 1);
  EXPECT_EQ(error_of([&] { loader.await_all({}, Stop::never()); }),
            fmt::format("tensor 'head': read error at {}: Input/output error", rig.place("head")));
}

// One that nobody waits for, and threads that come across it.
TEST(WeightLoader, AnErrorIsFoundBehind) {
  const LoaderRig rig;
  rig.source->broken = rig.place("blk.1.down") + 64;
  WeightLoader loader(rig.store, 3);
  while (!loader.failed()) std::this_thread::yield();
  EXPECT_TRUE(contains(error_of([&] { loader.check(); }), "tensor 'blk.1.down': read error at"));
  EXPECT_FALSE(loader.complete());
}

TEST(WeightLoader, ANormOfNothingButZerosIsRefused) {
  GgufBuilder b;
  b.infos = {tensor_info("n", {2}, 0, 0)};
  b.data = std::string(32, '\0');
  const GgufModel model(source_of(b.build()));
  WeightStore vectors(model), norms(model);
  vectors.vector("n", 2);
  norms.norm("n", 2);
  EXPECT_NO_THROW(vectors.read_all(1, {}));
  EXPECT_EQ(error_of([&] { norms.read_all(1, {}); }),
            "tensor 'n': nothing but zeros; incomplete download?");
}

TEST(WeightLoader, ManyWaitForManyThings) {
  const LoaderRig rig;
  for (const int threads : {0, 1, 8}) {
    WeightLoader loader(rig.store, threads);
    std::vector<std::thread> waiting;
    for (uint32_t seed = 0; seed < 4; ++seed) {
      waiting.emplace_back([&, seed] {
        std::mt19937 random(seed);
        for (int i = 0; i < 20; ++i) {
          const int64_t l = random() % 2, e = l == 0 ? 0 : random() % kExperts;
          const ExpertPart part = kEachPart[random() % kExpertParts];
          const MatrixStack& stack = rig.layers[static_cast<size_t>(l)][part];
          loader.await(stack.unit + static_cast<WeightUnit>(e), Stop::never());
          const std::string name = fmt::format("blk.{}.{}", l, part_name(part));
          EXPECT_EQ(first(stack[e]), Tensors::value(name)) << name;
        }
        loader.await_layer(-1, Stop::never());
        EXPECT_EQ(first(rig.matrices.at("head")), Tensors::value("head"));
      });
    }
    for (std::thread& thread : waiting) thread.join();
    loader.await_all({}, Stop::never());
    EXPECT_TRUE(loader.complete());
  }
}

// The device does not answer: who waits for another's piece need not wait for the device.
TEST(WeightLoader, AStopEndsTheWait) {
  const LoaderRig rig;
  rig.source->close();
  WeightLoader loader(rig.store, 1);
  while (rig.read().empty()) std::this_thread::yield();  // the head is being read
  Stop stop;
  std::thread other([&] { stop.request(); });
  EXPECT_EQ(error_of([&] { loader.await_layer(-1, stop); }), "interrupted");
  other.join();
  EXPECT_FALSE(loader.failed());
  rig.source->open();
  loader.await_layer(-1, Stop::never());
  EXPECT_EQ(first(rig.matrices.at("head")), Tensors::value("head"));
}

TEST(WeightLoader, EndsBeforeAllIsRead) {
  const LoaderRig rig;
  rig.source->close();
  std::optional<WeightLoader> loader(std::in_place, rig.store, 2);
  while (rig.read().size() < 2) std::this_thread::yield();
  std::thread ends([&] { loader.reset(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // it has been asked to by then
  rig.source->open();
  ends.join();
  EXPECT_LT(rig.read().size(), 16u);
}

}  // namespace
}  // namespace st

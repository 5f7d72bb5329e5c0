// CachedExperts against a device that misbehaves: the right bytes, or an error, and never a hang.
#include "experts/cached_experts.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <random>
#include <thread>

#include "base/thread_pool.h"
#include "support/faulty_reader.h"
#include "support/gguf_builder.h"
#include "support/random_blocks.h"
#include "support/scale.h"
#include "support/temporary_folder.h"
#include "support/test_page.h"
#include "tensor/layout.h"

namespace st {
namespace {

using namespace testkit;
using std::chrono::milliseconds;

constexpr int64_t kLayers = 3, kExperts = 8, kUsed = 2;
constexpr ExpertPart kAllParts[] = {ExpertPart::kGate, ExpertPart::kUp, ExpertPart::kDown};

struct Shape {
  size_t layers = kLayers;
  int64_t experts = kExperts, used = kUsed;
  int64_t hidden = 32, ffn = 64;
  std::vector<DType> types = {DType::kF16, DType::kQ4_0, DType::kQ8_0};  // of layers, in turn
};

// A GGUF file of random weights whose layers have experts of different types.
class ExpertFile {
 public:
  explicit ExpertFile(const std::string& folder = "/tmp", const Shape& sizes = {})
      : path_(folder + "/st-experts-XXXXXX") {
    GgufBuilder b;
    const auto D = static_cast<uint64_t>(sizes.hidden), F = static_cast<uint64_t>(sizes.ffn);
    const auto E = static_cast<uint64_t>(sizes.experts);
    const std::vector<uint64_t> shape{D, F, E}, down_shape{F, D, E};
    std::mt19937 random(5);
    for (size_t l = 0; l < sizes.layers; ++l) {
      const DType type = sizes.types[l % sizes.types.size()];
      for (const ExpertPart part : kAllParts) {
        const bool down = part == ExpertPart::kDown;
        b.infos.push_back(tensor_info(name(l, part), down ? down_shape : shape,
                                      static_cast<uint32_t>(type), b.data.size()));
        const auto blocks = random_blocks(type, static_cast<int64_t>(D * F * E), random);
        b.data.append(reinterpret_cast<const char*>(blocks.data()), blocks.size());
        b.data.resize((b.data.size() + 31) / 32 * 32 + 32);
      }
    }
    bytes_ = b.build();
    ::close(::mkstemp(path_.data()));
    write();
  }
  ~ExpertFile() { std::filesystem::remove(path_); }

  // A scale of a matrix's first block becomes no number.
  void spoil(size_t l, ExpertPart part, DType type) const {
    const auto [at, bytes] = no_numbers(type).back();
    const uint64_t place = GgufModel(path_).find(name(l, part)).info->offset + at;
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(place));
    file.write(reinterpret_cast<const char*>(bytes.data()), std::ssize(bytes));
  }
  // Whole again, in the same inode.
  void write() const { std::ofstream(path_, std::ios::binary) << bytes_; }
  const std::string& path() const { return path_; }

  static std::vector<ExpertLayer> layers(WeightStore& weights, const Shape& sizes = {}) {
    std::vector<ExpertLayer> layers;
    const int64_t E = sizes.experts, D = sizes.hidden, F = sizes.ffn;
    for (size_t l = 0; l < sizes.layers; ++l) {
      const auto of = [&](ExpertPart part) { return name(l, part); };
      layers.push_back({.gate = weights.stack(of(ExpertPart::kGate), E, F, D),
                        .up = weights.stack(of(ExpertPart::kUp), E, F, D),
                        .down = l % 3 == 1 ? weights.neurons(of(ExpertPart::kDown), E, D, F)
                                           : weights.stack(of(ExpertPart::kDown), E, D, F)});
    }
    return layers;
  }

 private:
  static std::string name(size_t l, ExpertPart part) {
    return fmt::format("{}.{}", l, static_cast<int>(part));
  }
  std::string path_, bytes_;
};

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// A store over a faulty device, beside the same weights read whole by WeightStore.
class Rig {
 public:
  explicit Rig(FaultPlan plan, AsyncReader::Options options = {.depth = 8, .piece_bytes = 4096},
               const std::string& folder = "/tmp", uint64_t page = test_page(),
               const Shape& shape = {})
      : file(folder, shape), model_(file.path()), whole_(model_), streamed_(model_, true) {
    expected_ = ExpertFile::layers(whole_, shape);
    whole_.read_all(1, {});
    auto owned = std::make_unique<FaultyBackend>(make_pread_backend(options.depth, 3), plan);
    device = owned.get();
    reader.emplace(options, std::move(owned));
    store.emplace(ExpertFile::layers(streamed_, shape), shape.used, *reader, page);
  }
  // The threads of `await_all` go first.
  ~Rig() {
    store.reset();
    reader.reset();
  }

  // One layer of a pass, with so many threads that await. Returns the first error, or nothing;
  // every matrix that is handed out is compared. `next` is guessed for the layer after this one.
  std::optional<Error> pass(int64_t layer, const std::vector<int32_t>& experts, int threads = 1,
                            const std::vector<int32_t>& next = {},
                            const Stop& stop = Stop::never()) {
    std::vector<int64_t> begin(experts.size() + 1);
    for (size_t i = 0; i <= experts.size(); ++i) begin[i] = static_cast<int64_t>(i);
    std::mutex mutex;
    std::optional<Error> error;
    const auto work = [&](size_t from) {
      for (size_t i = 0; i < experts.size() * kExpertParts; ++i) {
        const size_t k = (i + from) % (experts.size() * kExpertParts);
        try {
          check(layer, experts[k / kExpertParts], kAllParts[k % kExpertParts]);
        } catch (const Error& e) {
          const std::lock_guard lock(mutex);
          if (!error) error = e;
          return;
        }
      }
    };
    try {
      store->prefetch(layer, {experts, begin, std::ssize(experts), stop});
      if (!next.empty() && store->wants_guess()) store->guess((layer + 1) % kLayers, next);
      std::vector<std::thread> others;
      for (int t = 1; t < threads; ++t) others.emplace_back(work, static_cast<size_t>(t));
      work(0);
      for (std::thread& other : others) other.join();
    } catch (const Error& e) {
      error = e;
    }
    store->release(layer);
    return error;
  }

  void check(int64_t layer, int32_t expert, ExpertPart part) {
    const Matrix got = store->await(layer, expert, part);
    const Matrix want = expected_[static_cast<size_t>(layer)][part][expert];
    const uint64_t bytes = want.bytes();
    compared += 1;
    if (std::memcmp(got.data, want.data, bytes) != 0) wrong += 1;
  }

  // Until every read that was begun has ended, `right` of them well; nobody need ask for them.
  void settle(uint64_t right) {
    const auto start = Clock::now();
    for (ReadStats s = reader->stats(); s.failed + right != s.requests; s = reader->stats()) {
      ASSERT_LT(seconds_since(start), 30) << s.failed << " of " << s.requests << " failed";
      for (int64_t i = 0; i < kLayers * kExperts; ++i) {
        store->ready(i / kExperts, static_cast<int32_t>(i % kExperts));  // polls the device
      }
      std::this_thread::yield();
    }
  }

  ExpertFile file;
  FaultyBackend* device = nullptr;
  std::optional<AsyncReader> reader;
  std::optional<CachedExperts> store;
  std::atomic<int64_t> compared = 0, wrong = 0;

 private:
  GgufModel model_;
  WeightStore whole_, streamed_;
  std::vector<ExpertLayer> expected_;
};

FaultPlan no_faults() {
  return [](uint64_t, const ReadPiece&) { return Fault::kNone; };
}

std::string text(const std::optional<Error>& error) { return error ? error->what() : "no error"; }

// ---- Without faults ----

TEST(CachedExperts, GivesWhatTheFileHasWhateverTheRoom) {
  for (const int64_t room : {kUsed, int64_t{5}, kLayers * kExperts}) {
    Rig rig(no_faults());
    rig.store->resize(room);
    std::mt19937 random(static_cast<uint32_t>(room));
    for (int i = 0; i < 200; ++i) {
      const auto a = static_cast<int32_t>(random() % kExperts);
      const auto b = static_cast<int32_t>((a + 1 + random() % (kExperts - 1)) % kExperts);
      const auto error = rig.pass(i % kLayers, {std::min(a, b), std::max(a, b)}, 1 + i % 3);
      ASSERT_FALSE(error) << text(error);
    }
    EXPECT_EQ(rig.wrong, 0);
    EXPECT_GE(rig.compared, 200 * 6);
    const CachedExpertsStats stats = rig.store->stats();
    EXPECT_EQ(stats.asked, 400u);
    if (room == kLayers * kExperts) {
      EXPECT_EQ(stats.asked - stats.found, 24u);  // each once
    }
  }
}

// In either layout of down; what cannot be is named when it comes, and read again later.
TEST(CachedExperts, EveryTypeComesAsItIsOrNotAtAll) {
  for (const DTypeInfo& info : all_dtypes()) {
    if (!is_split(info.type)) continue;
    const Shape shape = {.experts = 4, .hidden = 256, .ffn = 256, .types = {info.type}};
    Rig rig(no_faults(), {.depth = 8, .piece_bytes = 4096}, "/tmp", test_page(), shape);
    rig.store->resize(5);
    for (int i = 0; i < 9; ++i) {
      ASSERT_EQ(text(rig.pass(i % kLayers, {i % 3, 3}, 1 + i % 2)), "no error") << info.name;
    }
    EXPECT_EQ(rig.wrong, 0) << info.name;
    for (const int64_t l : {0, 1}) {
      for (const ExpertPart part : kAllParts) {
        rig.store->resize(0);
        rig.store->resize(5);
        rig.file.spoil(static_cast<size_t>(l), part, info.type);
        EXPECT_EQ(text(rig.pass(l, {0, 2}, 2)),
                  fmt::format("expert {}/0 {}: a scale of its {} blocks is not a finite number", l,
                              part_name(part), info.name));
        rig.file.write();
        EXPECT_EQ(text(rig.pass(l, {0, 2}, 2)), "no error") << info.name;
      }
    }
    EXPECT_EQ(rig.wrong, 0) << info.name;
  }
}

// What is given back to the system is whole pages of slots that are empty, whatever size pages
// have.
TEST(CachedExperts, RoomThatShrinksTakesNothingFromOthers) {
  for (const uint64_t page : {4096, 16384, 65536}) {
    Rig rig(no_faults(), {.depth = 8, .piece_bytes = 4096}, "/tmp", page);
    EXPECT_EQ(rig.store->slot_bytes() % page, 0u);
    constexpr int64_t kAll = kLayers * kExperts;
    for (const int64_t room : {kAll, kAll - 1, kAll - 3, int64_t{9}, int64_t{4}, kUsed, kAll}) {
      rig.store->resize(room);
      for (int64_t l = 0; l < kLayers; ++l) {
        for (int32_t e = 0; e < kExperts; e += 2) {
          ASSERT_EQ(text(rig.pass(l, {e, e + 1})), "no error");
        }
      }
      ASSERT_EQ(rig.wrong, 0) << "pages of " << page << ", room for " << room;
    }
  }
}

TEST(CachedExperts, NeverMoreAtOnceThanThereIsRoomFor) {
  Rig rig(no_faults());
  rig.store->resize(2);
  const auto error = rig.pass(0, {0, 1, 2});
  EXPECT_EQ(text(error), "expert 0/2: no room beside the others that are needed");
  EXPECT_EQ(error->code(), ErrorCode::kOutOfMemory);
  for (int64_t l = 0; l < kLayers; ++l) {  // what was admitted before that is not left half there
    EXPECT_EQ(text(rig.pass(l, {0, 1})), "no error");
    EXPECT_EQ(text(rig.pass(l, {2, 3})), "no error");
  }
  EXPECT_EQ(rig.wrong, 0);
}

TEST(CachedExperts, AWarmStoreHasTheHottest) {
  Rig rig(no_faults());
  rig.store->resize(6);
  std::vector<float> rates(kLayers * kExperts, 0.1f);
  for (const size_t hot : {1, 2, 9, 10, 17, 18}) rates[hot] = 0.9f;
  rig.store->warm(rates);
  for (int64_t l = 0; l < kLayers; ++l) EXPECT_EQ(text(rig.pass(l, {1, 2})), "no error");
  EXPECT_EQ(rig.store->stats().found, 6u);
  rig.store->warm(rates);  // what is there already is left alone
  for (int64_t l = 0; l < kLayers; ++l) EXPECT_EQ(text(rig.pass(l, {3, 4})), "no error");
  EXPECT_EQ(rig.wrong, 0);
}

TEST(CachedExperts, MayBeResizedWhileAWarmStartIsUnderWay) {
  Rig rig(random_faults(1, {.late = 1}));
  for (int i = 0; i < 20; ++i) {
    rig.store->resize(kLayers * kExperts);
    rig.store->warm(std::vector<float>(kLayers * kExperts, 0.5f));
    rig.store->resize(kUsed);
    EXPECT_EQ(text(rig.pass(i % kLayers, {0, 7})), "no error");
  }
  EXPECT_EQ(rig.wrong, 0);
}

// ---- Guesses ----

TEST(CachedExpertsGuess, WhatComesTrueIsNotReadAgain) {
  Rig rig(no_faults());
  rig.store->resize(kLayers * kExperts);
  EXPECT_EQ(text(rig.pass(0, {0, 1}, 1, {4, 5})), "no error");
  const uint64_t before = rig.reader->stats().requests;
  EXPECT_EQ(before, 4 * kExpertParts);
  EXPECT_EQ(text(rig.pass(1, {4, 5})), "no error");
  EXPECT_EQ(rig.reader->stats().requests, before);
  EXPECT_EQ(text(rig.pass(1, {4, 5})), "no error");
  const CachedExpertsStats stats = rig.store->stats();
  EXPECT_EQ(stats.asked, 6u);
  EXPECT_EQ(stats.foreseen, 2u);
  EXPECT_EQ(stats.found, 2u);  // the second time, and only then
  EXPECT_EQ(rig.wrong, 0);
}

TEST(CachedExpertsGuess, TakesAnEighthOfTheRoomAtMost) {
  Rig rig(no_faults());
  for (const int64_t room : {7, 8, 16, 24}) {
    rig.store->resize(0);  // forgets everything
    rig.store->resize(room);
    const uint64_t before = rig.reader->stats().requests;
    EXPECT_EQ(text(rig.pass(0, {0}, 1, {0, 1, 2, 3, 4, 5, 6, 7})), "no error");
    EXPECT_EQ(rig.reader->stats().requests - before,
              static_cast<uint64_t>(1 + room / 8) * kExpertParts);
    EXPECT_EQ(text(rig.pass(1, {0, 1, 2, 3, 4, 5, 6})), "no error");  // and gives way
  }
  EXPECT_EQ(rig.wrong, 0);
}

TEST(CachedExpertsGuess, StopsWhileItIsWrongTooOften) {
  Rig rig(random_faults(1, {.late = 1}));  // busy
  rig.store->resize(8);
  uint64_t reads = 0;
  int32_t first = 0;
  const auto read_for_guesses = [&](int passes) {
    const uint64_t before = rig.reader->stats().requests;
    const CachedExpertsStats seen = rig.store->stats();
    for (int i = 0; i < passes; ++i) {
      first = (first + 2) % 8;  // others each time: the device is never idle for long
      for (int64_t l = 0; l < kLayers; ++l) {
        EXPECT_EQ(text(rig.pass(l, {first, first + 1}, 1, {(first + 4) % 8})), "no error");
      }
    }
    const CachedExpertsStats now = rig.store->stats();
    EXPECT_EQ(now.foreseen, seen.foreseen);
    reads = rig.reader->stats().requests - before -
            (now.asked - now.found - seen.asked + seen.found) * kExpertParts;
  };
  read_for_guesses(20);
  EXPECT_GT(reads, 0u);
  read_for_guesses(200);
  read_for_guesses(20);
  EXPECT_EQ(reads, 0u);
  EXPECT_EQ(rig.wrong, 0);
}

// A guess must not cost what is known to be needed its room.
TEST(CachedExpertsGuess, GivesWayToWhatIsNeeded) {
  Rig rig(random_faults(1, {.late = 1}));
  rig.store->resize(8);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(text(rig.pass(0, {0, 1, 2, 3, 4, 5, 6}, 2, {i % 8})), "no error");
    EXPECT_EQ(text(rig.pass(2, {0, 1, 2, 3, 4, 5, 6, 7}, 2)), "no error");
  }
  rig.store->resize(2);
  EXPECT_EQ(rig.store->room(), 2);
  EXPECT_EQ(text(rig.pass(1, {0, 1})), "no error");
  EXPECT_EQ(rig.wrong, 0);
}

TEST(CachedExpertsGuess, AFailedOneIsReadAgain) {
  std::atomic<bool> broken = false;
  Rig rig([&](uint64_t, const ReadPiece&) { return broken ? Fault::kError : Fault::kNone; });
  rig.store->resize(kLayers * kExperts);
  EXPECT_EQ(text(rig.pass(0, {0, 1})), "no error");
  broken = true;
  EXPECT_EQ(text(rig.pass(0, {0, 1}, 1, {4, 5})), "no error");
  rig.settle(2 * kExpertParts);
  EXPECT_EQ(rig.reader->stats().failed, 2u * kExpertParts);
  broken = false;
  EXPECT_EQ(text(rig.pass(1, {4, 5}, 2)), "no error");
  EXPECT_EQ(rig.wrong, 0);
}

// ---- Layers in order ----

struct InOrder : testing::Test {
  static constexpr int64_t kDense = 12;  // layers

  explicit InOrder() { make(no_faults()); }
  void make(FaultPlan plan, AsyncReader::Options options = {.depth = 8, .piece_bytes = 4096}) {
    rig.reset();
    rig.emplace(std::move(plan), std::move(options), "/tmp", test_page(), Shape{kDense, 1, 1});
  }

  // A forward pass; how many layers it had to have read.
  int64_t run(int threads = 1) {
    const uint64_t before = rig->reader->stats().requests;
    for (int64_t l = 0; l < kDense; ++l) EXPECT_EQ(text(rig->pass(l, {0}, threads)), "no error");
    EXPECT_EQ(rig->wrong, 0);
    return static_cast<int64_t>((rig->reader->stats().requests - before) / kExpertParts);
  }

  std::optional<Rig> rig;
};

// Nothing is read twice that could have stayed: in each pass what there is no room for, and what
// was read ahead for the pass after it.
TEST_F(InOrder, WhatStaysIsReadOnce) {
  for (int64_t room = 1; room <= kDense + 1; ++room) {
    make(no_faults());
    rig->store->resize(room);
    const int64_t streamed = room >= kDense ? 0 : kDense - std::max<int64_t>(room - 2, 0);
    const int64_t first = run();
    EXPECT_GE(first, kDense) << room;
    EXPECT_LE(first, kDense + 2) << room;
    for (int i = 0; i < 3; ++i) EXPECT_EQ(run(2), streamed) << room;
    const CachedExpertsStats stats = rig->store->stats();
    EXPECT_EQ(stats.asked, static_cast<uint64_t>(4 * kDense));
    if (room > 1) {
      EXPECT_EQ(stats.asked - stats.found - stats.foreseen, 1u) << room;  // the very first
    }
  }
}

TEST_F(InOrder, RoomThatShrinksHasOneMoreLayerStream) {
  rig->store->resize(kDense);
  run();
  EXPECT_EQ(run(), 0);
  int64_t streamed = 3;
  for (int64_t room = kDense - 1; room >= 2; --room, ++streamed) {
    rig->store->resize(room);
    EXPECT_LE(run(), streamed) << room;  // what is there already need not come
    run();
    EXPECT_EQ(run(), streamed) << room;
  }
  rig->store->resize(kDense);
  run();
  EXPECT_EQ(run(), 0);
}

TEST_F(InOrder, LayersOfSeveralExpertsAllOfWhichAreUsed) {
  rig.reset();
  rig.emplace(no_faults(), AsyncReader::Options{.depth = 8, .piece_bytes = 4096}, "/tmp",
              test_page(), Shape{6, 2, 2});
  const auto pass = [&] {
    const uint64_t before = rig->reader->stats().requests;
    for (int64_t l = 0; l < 6; ++l) EXPECT_EQ(text(rig->pass(l, {0, 1})), "no error");
    EXPECT_EQ(rig->wrong, 0);
    return (rig->reader->stats().requests - before) / kExpertParts;
  };
  rig->store->resize(9);  // an odd one is of no use
  pass();
  pass();
  EXPECT_EQ(pass(), 8u);
  EXPECT_FALSE(rig->store->wants_guess());
}

TEST_F(InOrder, AFailedReadIsForgottenAndReadAgain) {
  std::atomic<bool> broken = false;
  for (const int64_t room : {2, 5}) {
    make([&](uint64_t, const ReadPiece&) { return broken ? Fault::kError : Fault::kNone; });
    rig->store->resize(room);
    run();
    broken = true;
    int64_t failed = -1;
    for (int64_t l = 0; l < kDense && failed < 0; ++l) {
      const auto error = rig->pass(l, {0}, 2);
      if (!error) continue;
      failed = l;
      EXPECT_EQ(error->code(), ErrorCode::kIo);
      EXPECT_TRUE(text(error).starts_with(fmt::format("layer {} ", l))) << text(error);
    }
    EXPECT_GE(failed, 0) << room;
    broken = false;
    run(2);
    run(2);
    EXPECT_EQ(run(), kDense - std::max<int64_t>(room - 2, 0)) << room;
  }
  rig.reset();  // before what its plan looks at
}

TEST_F(InOrder, AStopEndsAPassAndTheNextOneIsRight) {
  std::atomic<bool> dead = false;
  make([&](uint64_t, const ReadPiece&) { return dead ? Fault::kNever : Fault::kNone; },
       {.depth = 64, .piece_bytes = 4096});
  rig->store->resize(6);
  run();
  dead = true;
  Stop stop;
  auto error = std::async(std::launch::async, [&] {
    std::optional<Error> first;
    for (int64_t l = 0; l < kDense && !first; ++l) first = rig->pass(l, {0}, 2, {}, stop);
    return first;
  });
  while (rig->device->injected() == 0) std::this_thread::yield();
  stop.request();
  const auto cancelled = error.get();
  ASSERT_TRUE(cancelled);
  EXPECT_EQ(text(cancelled), "interrupted");
  dead = false;
  rig->device->release();
  run(2);
  run(2);
  EXPECT_EQ(run(), kDense - 4);
  rig.reset();
}

// Whatever the device does: no wrong byte, and a store that works once the device does.
TEST_F(InOrder, RightOrAnErrorWhateverTheDeviceDoes) {
  int errors = 0;
  for (uint64_t seed = 0; seed < 6; ++seed) {
    std::atomic<bool> well = false;
    FaultPlan plan = random_faults(seed, {.error = 0.1,
                                          .interrupted = 0.2,
                                          .cut_short = 0.3,
                                          .late = 0.1,
                                          .never = seed % 3 == 0 ? 0.01 : 0});
    make([&](uint64_t n, const ReadPiece& p) { return well ? Fault::kNone : plan(n, p); },
         {.depth = 32, .piece_bytes = 4096, .timeout = milliseconds(100)});
    std::mt19937_64 random(seed);
    for (int i = 0; i < 8; ++i) {
      rig->store->resize(1 + static_cast<int64_t>(random() % (kDense + 1)));
      for (int64_t l = 0; l < kDense; ++l) {
        if (!rig->pass(l, {0}, 1 + i % 2)) continue;
        ++errors;
        break;
      }
    }
    well = true;
    rig->device->release();
    rig->store->resize(4);
    run(2);
    rig.reset();  // before its plan goes
  }
  EXPECT_GT(errors, 0);
}

// ---- Faults ----

TEST(CachedExpertsFaults, AReadErrorNamesTheExpertAndIsForgotten) {
  std::atomic<bool> broken = true;
  Rig rig([&](uint64_t, const ReadPiece&) { return broken ? Fault::kError : Fault::kNone; });
  rig.store->resize(6);
  for (int i = 0; i < 2; ++i) {
    const auto error = rig.pass(1, {3, 4}, 3);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), ErrorCode::kIo);
    // Whichever thread was first: the reason, not that there was one.
    EXPECT_TRUE(text(error).starts_with("expert 1/")) << text(error);
    EXPECT_TRUE(contains(text(error), "Input/output error")) << text(error);
  }
  broken = false;
  EXPECT_EQ(text(rig.pass(1, {3, 4}, 3)), "no error");
  EXPECT_EQ(rig.wrong, 0);
}

// What failed while nobody was waiting for it must not fail the pass that needs it later.
TEST(CachedExpertsFaults, AFailedWarmStartIsReadAgain) {
  std::atomic<bool> broken = true;
  Rig rig([&](uint64_t, const ReadPiece&) { return broken ? Fault::kError : Fault::kNone; });
  rig.store->resize(6);
  rig.store->warm(std::vector<float>(kLayers * kExperts, 0.5f));
  EXPECT_TRUE(rig.pass(0, {6, 7}));
  rig.settle(0);
  broken = false;
  for (int64_t l = 0; l < kLayers; ++l) EXPECT_EQ(text(rig.pass(l, {0, 1})), "no error");
  EXPECT_EQ(rig.wrong, 0);
}

TEST(CachedExpertsFaults, ADeadDeviceIsNotWaitedForTwice) {
  std::atomic<bool> dead = true;
  Rig rig([&](uint64_t, const ReadPiece&) { return dead ? Fault::kNever : Fault::kNone; },
          {.depth = 64, .piece_bytes = 4096, .timeout = milliseconds(100)});
  rig.store->resize(4);
  EXPECT_TRUE(contains(text(rig.pass(0, {0, 1})), "no answer from the device for 100 ms"));
  for (int i = 0; i < 6; ++i) {
    const auto start = Clock::now();
    EXPECT_TRUE(rig.pass(i % kLayers, {0, 1 + i}));
    EXPECT_LT(seconds_since(start), 2);
  }
  const auto full = rig.pass(2, {0, 7});  // no slot left that the device could not write to
  EXPECT_TRUE(contains(text(full), "no room, the device does not finish")) << text(full);
  const auto start = Clock::now();
  rig.store->resize(2);
  EXPECT_LT(seconds_since(start), 2);
  dead = false;
  rig.device->release();  // writes rubbish into what was held back
  for (int64_t l = 0; l < kLayers; ++l) EXPECT_EQ(text(rig.pass(l, {0, 1}, 2)), "no error");
  EXPECT_EQ(rig.wrong, 0);
}

// A slot that a dead read may still fill is not given to anyone else.
TEST(CachedExpertsFaults, ABusySlotIsHeldBack) {
  std::atomic<int> dead = 1;
  Rig rig([&](uint64_t, const ReadPiece&) { return dead-- > 0 ? Fault::kNever : Fault::kNone; },
          {.depth = 64, .piece_bytes = 4096, .timeout = milliseconds(100)});
  rig.store->resize(5);
  EXPECT_TRUE(rig.pass(0, {0, 1}));
  for (int64_t l = 0; l < kLayers; ++l) ASSERT_EQ(text(rig.pass(l, {0, 1})), "no error");
  rig.device->release();
  for (int64_t l = kLayers - 1; l >= 0; --l) ASSERT_EQ(text(rig.pass(l, {0, 1})), "no error");
  EXPECT_EQ(rig.wrong, 0);
}

TEST(CachedExpertsFaults, AStopEndsAPassAndTheNextOneIsRight) {
  std::atomic<bool> dead = true;
  Rig rig([&](uint64_t, const ReadPiece&) { return dead ? Fault::kNever : Fault::kNone; },
          {.depth = 64, .piece_bytes = 4096});
  rig.store->resize(kLayers * kExperts);
  Stop stop;
  auto error =
      std::async(std::launch::async, [&] { return rig.pass(0, {1, 2, 3, 4}, 2, {}, stop); });
  while (rig.device->injected() == 0) std::this_thread::yield();
  const auto start = Clock::now();
  stop.request();
  const auto cancelled = error.get();
  EXPECT_LT(seconds_since(start), 0.5);
  ASSERT_TRUE(cancelled);
  EXPECT_EQ(cancelled->code(), ErrorCode::kCancelled);
  EXPECT_EQ(text(cancelled), "interrupted");
  const auto again = Clock::now();
  EXPECT_EQ(rig.pass(1, {1, 2}, 1, {}, stop)->code(), ErrorCode::kCancelled);  // it stays requested
  EXPECT_LT(seconds_since(again), 0.5);
  dead = false;
  rig.device->release();
  for (int64_t l = 0; l < kLayers; ++l) EXPECT_EQ(text(rig.pass(l, {1, 2, 3, 4}, 2)), "no error");
  EXPECT_EQ(rig.wrong, 0);
}

TEST(CachedExpertsFaults, TheFileIsCutShortAndMadeWholeAgain) {
  for (const std::string folder : {"/tmp", "/dev/shm"}) {
    Rig rig(no_faults(), {}, folder);
    rig.store->resize(3);
    ASSERT_EQ(text(rig.pass(0, {0, 1})), "no error");
    EXPECT_NO_THROW(rig.store->check_files());
    std::filesystem::resize_file(rig.file.path(), 10'000);
    const auto error = rig.pass(2, {6, 7}, 2);
    EXPECT_TRUE(contains(text(error), "it became shorter while in use")) << text(error);
    EXPECT_EQ(error_of([&] { rig.store->check_files(); }),
              rig.file.path() + ": the file was changed while in use");
    rig.file.write();
    EXPECT_EQ(text(rig.pass(2, {6, 7}, 2)), "no error");
    EXPECT_EQ(rig.wrong, 0);
  }
}

TEST(CachedExpertsFaults, AnotherFileWithTheSameNameIsNotRead) {
  Rig rig(no_faults());
  rig.store->resize(3);
  const ExpertFile other;
  std::ofstream(other.path(), std::ios::binary) << std::string(100, 'x');
  std::filesystem::rename(other.path(), rig.file.path());
  for (int64_t l = 0; l < kLayers; ++l) EXPECT_EQ(text(rig.pass(l, {1, 5})), "no error");
  EXPECT_NO_THROW(rig.store->check_files());
  EXPECT_EQ(rig.wrong, 0);
}

TEST(CachedExpertsFaults, AFileReplacedWhileItWasLoadedIsRefused) {
  const ExpertFile file, other;
  const GgufModel model(file.path());
  WeightStore weights(model, true);
  std::filesystem::rename(other.path(), file.path());
  AsyncReader reader({});
  EXPECT_EQ(error_of([&] { CachedExperts(ExpertFile::layers(weights), kUsed, reader); }),
            file.path() + ": the file was replaced while it was loaded");
}

// Destroyed in the middle of everything; the device writes on for a while.
TEST(CachedExpertsFaults, MayBeDestroyedWhileReading) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Rig rig(random_faults(seed, {.error = 0.1, .late = 0.5, .never = 0.1}));
    rig.store->resize(kLayers * kExperts);
    rig.store->warm(std::vector<float>(kLayers * kExperts, 0.5f));
  }
}

// ---- Everything at random ----

struct Chaos {
  int64_t operations = 0, errors = 0;
  double longest = 0;  // seconds of one call
};

// So many random operations; `never` says that the device may fail to answer at all.
Chaos run_chaos(Rig& rig, uint64_t seed, int64_t operations, bool may_fail) {
  Chaos chaos;
  std::mt19937_64 random(seed);
  const auto below = [&](uint64_t n) { return static_cast<int64_t>(random() % n); };
  const auto timed = [&](auto&& body) {
    const auto start = Clock::now();
    body();
    chaos.longest = std::max(chaos.longest, seconds_since(start));
  };
  rig.store->resize(6);
  while (chaos.operations < operations && !testing::Test::HasFailure()) {
    const int64_t dice = below(100);
    if (dice < 3) {
      ++chaos.operations;
      timed([&] { rig.store->resize(kUsed + below(kLayers * kExperts)); });
      continue;
    }
    if (dice < 5) {
      ++chaos.operations;
      std::vector<float> rates(kLayers * kExperts);
      for (float& rate : rates) rate = static_cast<float>(below(100)) / 100;
      rig.store->warm(rates);
      continue;
    }
    if (dice == 5) rig.device->release();
    std::vector<int32_t> experts;
    const int64_t most = std::min(kExperts, rig.store->room());
    for (int32_t e = 0; e < kExperts && std::ssize(experts) < most; ++e) {
      if (below(3) == 0) experts.push_back(e);
    }
    if (experts.empty()) experts.push_back(static_cast<int32_t>(below(kExperts)));
    std::vector<int32_t> next;
    for (int32_t e = 0; e < kExperts; ++e) {
      if (below(4) == 0) next.push_back(e);
    }
    const bool cancel = may_fail && dice == 6;
    Stop stop;
    std::thread canceller;
    if (cancel) canceller = std::thread([&] { stop.request(); });
    const int64_t before = rig.compared;
    std::optional<Error> error;
    timed([&] { error = rig.pass(below(kLayers), experts, dice < 40 ? 2 : 1, next, stop); });
    if (cancel) canceller.join();
    chaos.operations += 2 + rig.compared - before;  // prefetch, release, and each await
    if (error) ++chaos.errors;
    EXPECT_TRUE(!error || may_fail) << text(error);
    EXPECT_EQ(rig.wrong, 0) << "seed " << seed << ", operation " << chaos.operations;
  }
  return chaos;
}

TEST(CachedExpertsChaos, RightWhateverIsAskedInWhateverOrder) {
  Rig rig(random_faults(1, {.interrupted = 0.0001, .cut_short = 0.0001}));
  const Chaos chaos = run_chaos(rig, 1, scaled(100'000), false);
  EXPECT_GE(chaos.operations, scaled(100'000));
}

// Whatever the device does: no wrong byte, no call longer than a second or two, and a store that
// works once the device does.
TEST(CachedExpertsChaos, RightOrAnErrorWhateverTheDeviceDoes) {
  uint64_t injected = 0;
  int64_t errors = 0;
  const auto wanted = static_cast<uint64_t>(scaled(2'500));
  for (uint64_t seed = 0; injected < wanted && !HasFailure(); ++seed) {
    std::atomic<bool> well = false;
    // A share of the runs has errors enough for some to be final, another a device that is stuck.
    const FaultRates rates{.error = seed % 3 == 0 ? 0.2 : 0.01,
                           .interrupted = 0.2,
                           .cut_short = 0.3,
                           .late = 0.1,
                           .never = seed % 3 == 1 ? 0.002 : 0};
    FaultPlan plan = random_faults(seed, rates);
    Rig rig([&](uint64_t n, const ReadPiece& p) { return well ? Fault::kNone : plan(n, p); },
            {.depth = 32, .piece_bytes = 4096, .timeout = milliseconds(300)});
    const Chaos chaos = run_chaos(rig, seed, seed % 3 == 2 ? 4'000 : 500, true);
    EXPECT_LT(chaos.longest, 4) << "seed " << seed;
    errors += chaos.errors;
    injected += rig.device->injected();
    well = true;
    rig.device->release();
    rig.store->resize(kExperts);
    for (int64_t l = 0; l < kLayers; ++l) {
      EXPECT_EQ(text(rig.pass(l, {0, 1, 2, 3, 4, 5, 6, 7}, 2)), "no error");
    }
    EXPECT_EQ(rig.wrong, 0) << "seed " << seed;
  }
  EXPECT_GE(injected, wanted);
  EXPECT_GT(errors, 0);
  fmt::print("faults injected below CachedExperts: {}, of which {} passes noticed\n", injected,
             errors);
}

}  // namespace
}  // namespace st

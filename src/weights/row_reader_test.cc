// RowReader against a device that misbehaves: the right rows, or an error that names one.
#include "weights/row_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <numeric>
#include <thread>

#include "support/bytes.h"
#include "support/faulty_reader.h"
#include "support/temporary_folder.h"

namespace st {
namespace {

using namespace testkit;
using Clock = std::chrono::steady_clock;

constexpr int64_t kRows = 300, kCols = 70;
constexpr uint64_t kOffset = 100, kRowBytes = kCols * sizeof(float);

class Rig {
 public:
  explicit Rig(FaultPlan plan) : path_(folder_ / "rows") {
    for (size_t i = 0; i < values_.size(); ++i) values_[i] = static_cast<float>(i);
    std::ofstream out(path_, std::ios::binary);
    out << std::string(kOffset, 'x');
    out.write(reinterpret_cast<const char*>(values_.data()), kRows * kRowBytes);
    out.close();
    file_.emplace(path_);
    auto owned = std::make_unique<FaultyBackend>(make_pread_backend(64, 3), std::move(plan));
    device = owned.get();
    reader_.emplace(AsyncReader::Options{}, std::move(owned));
    const Matrix shape{DType::kF32, kRows, kCols, nullptr};
    rows_.emplace(MatrixRows{shape, "tensor 'e'", &*file_, kOffset}, *reader_);
  }
  ~Rig() {
    rows_.reset();
    reader_.reset();
  }

  // Throws what reading throws; false if it gave other values.
  bool right(const std::vector<int32_t>& rows, const Stop& stop = Stop::never()) {
    std::vector<float> got(rows.size() * kCols);
    rows_->read(rows, got.data(), stop);
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto want = std::span(values_).subspan(static_cast<size_t>(rows[i]) * kCols, kCols);
      if (!std::ranges::equal(want, std::span(got).subspan(i * kCols, kCols))) return false;
    }
    return true;
  }

  // Bytes of a row as messages have them.
  std::string place(int32_t row) const {
    const uint64_t at = kOffset + static_cast<uint64_t>(row) * kRowBytes;
    return fmt::format("{}: bytes {}..{}", path_, at, at + kRowBytes);
  }

  RowReader& rows() { return *rows_; }
  float value(int32_t row) const { return values_[static_cast<size_t>(row) * kCols]; }

  FaultyBackend* device = nullptr;

 private:
  TemporaryFolder folder_;
  std::string path_;
  std::vector<float> values_ = std::vector<float>(kRows * kCols);
  std::optional<File> file_;
  std::optional<AsyncReader> reader_;
  std::optional<RowReader> rows_;
};

std::vector<int32_t> many() {
  std::vector<int32_t> rows;
  for (int32_t i = 0; i < 200; ++i) rows.push_back(i * 7919 % kRows);
  return rows;
}

TEST(RowReader, AnyRowsWhateverADeviceDoesForAWhile) {
  Rig rig(random_faults(1, {.error = 0.05, .interrupted = 0.1, .cut_short = 0.2, .late = 0.1}));
  EXPECT_TRUE(rig.right({0}));
  EXPECT_TRUE(rig.right({kRows - 1, 5, 5, 0}));
  EXPECT_TRUE(rig.right(many()));
  EXPECT_TRUE(rig.right({}));
  EXPECT_GT(rig.device->injected(), 50u);
}

TEST(RowReader, AnErrorNamesTheRowAndIsForgotten) {
  std::atomic<bool> broken = true;
  Rig rig([&](uint64_t, const ReadPiece&) { return broken ? Fault::kError : Fault::kNone; });
  const uint64_t at = kOffset + 5 * kRowBytes;
  EXPECT_EQ(error_of([&] { rig.right({5, 6}); }),
            "tensor 'e': row 5: " + rig.place(5) +
                fmt::format(": read error at {}: Input/output error", at - at % 4096));
  broken = false;
  EXPECT_TRUE(rig.right({5, 6}));
}

// The first value of each row that is taken.
std::vector<float> take(RowReader& rows) {
  std::vector<float> got;
  rows.take(
      [&](size_t i, std::span<const float> values) {
        EXPECT_EQ(i, got.size());
        EXPECT_EQ(std::ssize(values), kCols);
        got.push_back(values[0]);
      },
      Stop::never());
  return got;
}

TEST(RowReader, RowsUsedLastStay) {
  std::atomic<int> reads = 0;
  Rig rig([&](uint64_t, const ReadPiece&) { return ++reads, Fault::kNone; });
  const auto reads_for = [&](const std::vector<int32_t>& rows) {
    const int before = reads;
    EXPECT_TRUE(rig.right(rows));
    return reads - before;
  };
  EXPECT_EQ(reads_for({3, 4, 3, 3}), 2);
  EXPECT_EQ(reads_for({4, 3}), 0);
  std::vector<int32_t> fifteen(15);
  std::iota(fifteen.begin(), fifteen.end(), 100);
  EXPECT_EQ(reads_for(fifteen), 15);  // there is room for 16
  EXPECT_EQ(reads_for({3}), 1) << "one of those used longest ago had to go";
  EXPECT_EQ(reads_for({101}), 0);
  EXPECT_EQ(reads_for({100, 4, 3}), 1);
}

TEST(RowReader, WhatNobodyTakesIsNoHindrance) {
  Rig rig([](uint64_t, const ReadPiece&) { return Fault::kNone; });
  rig.rows().ask(std::vector<int32_t>{7, 8, 9});
  rig.rows().ask(std::vector<int32_t>{9, 10});
  EXPECT_EQ(take(rig.rows()), (std::vector<float>{rig.value(9), rig.value(10)}));
  EXPECT_EQ(take(rig.rows()), (std::vector<float>{rig.value(9), rig.value(10)}));
  rig.rows().ask(many());
  const std::vector<float> all = take(rig.rows());
  ASSERT_EQ(all.size(), many().size());
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], rig.value(many()[i])) << i;
}

TEST(RowReader, AStopEndsTheWaitAndTheNextTimeIsRight) {
  std::atomic<bool> dead = true;
  Rig rig([&](uint64_t, const ReadPiece&) { return dead ? Fault::kNever : Fault::kNone; });
  Stop stop;
  Clock::time_point requested;
  std::thread other([&] {
    while (rig.device->injected() == 0) std::this_thread::yield();
    requested = Clock::now();
    stop.request();
  });
  EXPECT_EQ(error_of([&] { rig.right(many(), stop); }), "interrupted");
  other.join();
  EXPECT_LT(Clock::now() - requested, std::chrono::milliseconds(500));
  dead = false;
  EXPECT_TRUE(rig.right(many()));
  rig.device->release();  // what was given up comes now, as rubbish
  EXPECT_TRUE(rig.right(many()));
}

}  // namespace
}  // namespace st

// For tests: a device that misbehaves on purpose, between an AsyncReader and a real backend.
//
//   auto device = std::make_unique<FaultyBackend>(make_pread_backend(64),
//                                                 random_faults(seed, {.error = 0.1}));
//   AsyncReader reader({}, std::move(device));
//
// Faults lie below the reader, so its own retries, continuations, deadlines and quarantine are what
// is tested, and who uses the reader sees what a user of a bad disk would see.
#pragma once

#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <utility>
#include <vector>

#include "io/read_backend.h"

namespace st::testkit {

// False in many sandboxes, and in builds without liburing.
inline bool has_uring() {
  std::string reason;
  return make_uring_backend(1, reason) != nullptr;
}

enum class Fault {
  kNone,
  kError,        // EIO, the buffer full of rubbish
  kInterrupted,  // EINTR
  kShort,        // a random number of bytes, at least one, rubbish behind them
  kLate,         // right, but later, and so out of order
  kNever,        // no answer until release() or the end, and then an error
};

// What happens to the n-th piece (from 0) that was started. Called by one thread at a time.
using FaultPlan = std::function<Fault(uint64_t n, const ReadPiece& piece)>;

struct FaultRates {
  double error = 0, interrupted = 0, cut_short = 0, late = 0, never = 0;
};

inline FaultPlan random_faults(uint64_t seed, FaultRates rates) {
  return [rates, random = std::mt19937_64(seed)](uint64_t, const ReadPiece&) mutable {
    double x = std::uniform_real_distribution<>(0, 1)(random);
    const std::pair<double, Fault> table[] = {{rates.error, Fault::kError},
                                              {rates.interrupted, Fault::kInterrupted},
                                              {rates.cut_short, Fault::kShort},
                                              {rates.late, Fault::kLate},
                                              {rates.never, Fault::kNever}};
    for (const auto& [rate, fault] : table) {
      if (x < rate) return fault;
      x -= rate;
    }
    return Fault::kNone;
  };
}

class FaultyBackend final : public ReadBackend {
 public:
  // Late pieces come up to `late` after the device had them.
  FaultyBackend(std::unique_ptr<ReadBackend> inner, FaultPlan plan,
                std::chrono::milliseconds late = std::chrono::milliseconds(2))
      : inner_(std::move(inner)), plan_(std::move(plan)), late_(late) {}

  std::string_view name() const override { return "faulty"; }
  void register_file(int fd) override { inner_->register_file(fd); }
  void register_memory(std::span<std::byte> m) override { inner_->register_memory(m); }
  void wake() override { inner_->wake(); }

  // Pieces that were to get no answer get one now: rubbish, and EIO.
  void release() {
    const std::lock_guard lock(mutex_);
    release_held(-EIO);
  }
  uint64_t injected() const {
    const std::lock_guard lock(mutex_);
    return injected_;
  }

  void start(std::span<const ReadPiece> pieces) override {
    std::vector<ReadPiece> good;
    bool answered = false;
    {
      const std::lock_guard lock(mutex_);
      for (const ReadPiece& piece : pieces) {
        const Fault fault = plan_(started_++, piece);
        if (fault != Fault::kNone) ++injected_;
        if (fault == Fault::kNever) {
          held_.push_back(piece);
        } else if (fault == Fault::kError || fault == Fault::kInterrupted) {
          spoil(piece, 0);
          answers_.push_back({now(), {piece.tag, fault == Fault::kError ? -EIO : -EINTR}});
          answered = true;
        } else {
          under_way_[piece.tag] = {piece, fault};
          good.push_back(piece);
        }
      }
    }
    if (!good.empty()) inner_->start(good);
    if (answered) inner_->wake();
  }

  void wait(SteadyTime until, std::vector<PieceResult>& done) override {
    if (take_answers(until, done)) return;
    std::vector<PieceResult> results;
    inner_->wait(until, results);
    {
      const std::lock_guard lock(mutex_);
      for (const PieceResult& result : results) answer(result);
    }
    take_answers(until, done);
  }

  void shutdown() override {
    {
      const std::lock_guard lock(mutex_);
      release_held(-ECANCELED);
      for (Answer& answer : answers_) answer.when = now();
      late_ = {};
    }
    inner_->shutdown();
    inner_->wake();
  }

 private:
  struct Answer {
    SteadyTime when;
    PieceResult result;
  };

  static SteadyTime now() { return std::chrono::steady_clock::now(); }
  uint64_t below(uint64_t n) { return std::uniform_int_distribution<uint64_t>(0, n - 1)(random_); }

  static void spoil(const ReadPiece& piece, uint64_t from) {
    std::memset(piece.data + from, 0xEE, piece.bytes - from);
  }

  // Moves what is due to `done`; true if there was any. Else `until` is at most the next.
  bool take_answers(SteadyTime& until, std::vector<PieceResult>& done) {
    const std::lock_guard lock(mutex_);
    const size_t before = done.size();
    std::erase_if(answers_, [&](const Answer& answer) {
      if (answer.when > now()) {
        until = std::min(until, answer.when);
        return false;
      }
      done.push_back(answer.result);
      return true;
    });
    return done.size() > before;
  }

  void answer(PieceResult result) {
    const auto [piece, fault] = under_way_.extract(result.tag).mapped();
    SteadyTime when = now();
    if (fault == Fault::kShort && result.result > 1) {
      result.result = static_cast<int32_t>(1 + below(static_cast<uint64_t>(result.result) - 1));
      spoil(piece, static_cast<uint64_t>(result.result));
    } else if (fault == Fault::kLate) {
      const auto most = std::chrono::microseconds(late_).count();
      when += std::chrono::microseconds(below(static_cast<uint64_t>(most) + 1));
    }
    answers_.push_back({when, result});
  }

  void release_held(int32_t error) {
    for (const ReadPiece& piece : held_) {
      spoil(piece, 0);
      answers_.push_back({now(), {piece.tag, error}});
    }
    held_.clear();
  }

  const std::unique_ptr<ReadBackend> inner_;
  const FaultPlan plan_;
  mutable std::mutex mutex_;  // guards all below
  std::chrono::milliseconds late_;
  std::mt19937_64 random_{7};
  uint64_t started_ = 0, injected_ = 0;
  std::map<uint32_t, std::pair<ReadPiece, Fault>> under_way_;  // by tag, with the real device
  std::vector<ReadPiece> held_;
  std::vector<Answer> answers_;
};

}  // namespace st::testkit

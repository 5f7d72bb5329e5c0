#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <mutex>
#include <set>
#include <thread>

namespace st {
namespace {

TEST(Threads, EveryItemOnceWhateverTheCount) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (const int64_t items : {0, 1, 5, 64, 1000}) {
      for (const int64_t grain : {1, 16, 100}) {
        std::vector<std::atomic<int>> seen(static_cast<size_t>(items));
        const auto see = [&](int64_t begin, int64_t end) {
          EXPECT_EQ(begin % grain, 0);
          for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
        };
        pool.parallel_for(items, grain, see);
        for (const auto& count : seen) ASSERT_EQ(count, 1);
        pool.parallel_in_order(items, grain, see);
        for (const auto& count : seen) ASSERT_EQ(count, 2);
      }
    }
  }
}

// What a thread takes next is what follows in memory, until it helps another.
TEST(Threads, SharesAreTakenFromFrontToBack) {
  ThreadPool pool(2);
  std::vector<int64_t> taken;  // by the caller, which waits in its first range for the other
  std::atomic<int64_t> by_worker{0};
  const auto caller = std::this_thread::get_id();
  pool.parallel_for(1000, 10, [&](int64_t begin, int64_t end) {
    if (std::this_thread::get_id() == caller) {
      while (taken.empty() && by_worker == 0) std::this_thread::yield();
      taken.push_back(begin);
    } else {
      EXPECT_TRUE(by_worker > 0 || begin == 500);
      by_worker += end - begin;
    }
  });
  ASSERT_FALSE(taken.empty());
  EXPECT_EQ(taken[0], 0);
  for (size_t i = 1; i < taken.size(); ++i) EXPECT_GT(taken[i], taken[i - 1]);
}

TEST(Threads, InOrderBeginsWithWhatComesFirst) {
  ThreadPool pool(3);
  std::mutex mutex;
  int64_t next = 0;
  pool.parallel_in_order(100, 1, [&](int64_t begin, int64_t) {
    const std::lock_guard lock(mutex);
    EXPECT_LE(begin, next + 12);  // a range is 4 items; the others hold one each
    next = std::max(next, begin);
  });
}

TEST(Threads, LittleWorkStaysWithTheCaller) {
  ThreadPool pool(4);
  int calls = 0;
  pool.parallel_for(
      1000, 1,
      [&](int64_t begin, int64_t end) {
        ++calls;  // no race: there is one call
        EXPECT_EQ(end - begin, 1000);
      },
      ThreadPool::kWorthSharing - 1);
  EXPECT_EQ(calls, 1);
}

TEST(Threads, AllComeWhenThereIsTime) {
  for (const bool crowded : {false, true}) {  // that is, whether they spin
    ThreadPool pool(ThreadChoice{.threads = 4, .crowded = crowded, .cpus = {}, .reason = {}});
    for (int i = 0; i < 20; ++i) {
      std::atomic<int> present{0};
      std::vector<std::atomic<int>> calls(4);
      pool.run([&](int thread, int threads) {
        EXPECT_EQ(threads, 4);
        if (calls[static_cast<size_t>(thread)]++ == 0) ++present;
        while (present < 4) std::this_thread::yield();  // hangs if one never comes
      });
      if (i % 5 == 0) ::usleep(5'000);  // long enough for the workers to fall asleep
    }
  }
}

TEST(Threads, ManySmallRunsInARow) {
  ThreadPool pool(4);
  std::atomic<int64_t> sum{0};
  for (int64_t i = 0; i < 5000; ++i) {
    pool.parallel_for(10, 1, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) sum += i * item;
    });
    if (i % 1000 == 0) ::usleep(20'000);
  }
  EXPECT_EQ(sum, int64_t{5000} * 4999 / 2 * 45);
}

struct Broken {
  int thread;
};

struct Inside {
  explicit Inside(std::atomic<int>& threads) : count(threads) { ++count; }
  ~Inside() { --count; }
  std::atomic<int>& count;
};

// The thread whose exception the caller got; -1: none.
template <typename Run>
int broken_by(Run&& run) {
  try {
    run();
  } catch (const Broken& broken) {
    return broken.thread;
  }
  return -1;
}

TEST(Threads, WhatABodyThrowsArrivesAtTheCaller) {
  for (const bool crowded : {false, true}) {
    ThreadPool pool(ThreadChoice{.threads = 4, .crowded = crowded, .cpus = {}, .reason = {}});
    for (int i = 0; i < 200; ++i) {
      const int victim = i % 5 - 1;  // -1: all
      std::atomic<int> present{0}, inside{0};
      const int got = broken_by([&] {
        pool.run([&](int thread, int) {
          const Inside guard(inside);
          ++present;
          while (present < 4) std::this_thread::yield();
          if (victim < 0 || thread == victim) throw Broken{thread};
        });
      });
      EXPECT_EQ(inside, 0) << "nobody is in a body that is over";
      if (victim >= 0) {
        EXPECT_EQ(got, victim);
      } else {
        EXPECT_GE(got, 0);
      }
      EXPECT_FALSE(pool.failed());
      int64_t sum = 0;
      std::mutex mutex;
      pool.parallel_for(100, 1, [&](int64_t begin, int64_t end) {
        const std::lock_guard lock(mutex);
        sum += end - begin;
      });
      EXPECT_EQ(sum, 100) << "the pool is as it was";
    }
  }
}

TEST(Threads, LoopsEndSoonAfterAnException) {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    std::atomic<int64_t> begun{0};
    const auto body = [&](int64_t begin, int64_t) {
      ++begun;
      if (begin == 0) throw Broken{7};
      while (!pool.failed()) std::this_thread::yield();  // hangs if it is not told
    };
    EXPECT_EQ(broken_by([&] { pool.parallel_for(10'000, 1, body); }), 7);
    EXPECT_EQ(broken_by([&] { pool.parallel_in_order(10'000, 1, body); }), 7);
    EXPECT_LE(begun, 2 * threads);
  }
}

// A system that has `left` threads for us.
StartThread scarce(int left) {
  return [left](std::function<void()> body) mutable {
    if (left-- <= 0) throw std::system_error(EAGAIN, std::generic_category());
    return std::thread(std::move(body));
  };
}

TEST(Threads, FewerThanAskedForDoTheWork) {
  const ThreadChoice eight{.threads = 8, .crowded = true, .cpus = {}, .reason = {}};
  for (const int left : {0, 1, 3, 7}) {
    ThreadPool pool(eight, scarce(left));
    EXPECT_EQ(pool.threads(), left + 1);
    EXPECT_EQ(pool.notice(), left == 7
                                 ? ""
                                 : fmt::format("cannot start thread {} of 8: Resource temporarily "
                                               "unavailable; running with {}",
                                               left + 2, left + 1));
    std::atomic<int64_t> sum{0};
    pool.parallel_for(1000, 1, [&](int64_t begin, int64_t end) { sum += end - begin; });
    EXPECT_EQ(sum, 1000);
  }
}

TEST(Threads, WhatElseGoesWrongAtTheStartEndsThoseThatRun) {
  int left = 3;
  const StartThread start = [&](std::function<void()> body) {
    if (left-- <= 0) throw std::bad_alloc();
    return std::thread(std::move(body));
  };
  const ThreadChoice eight{.threads = 8, .crowded = true, .cpus = {}, .reason = {}};
  EXPECT_THROW(ThreadPool(eight, start), std::bad_alloc);
}

TEST(Threads, OneThatThereMustBeIsNamed) {
  try {
    start_thread("does this", [] {}, scarce(0));
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kIo);
    EXPECT_STREQ(
        e.what(),
        "cannot start the thread that does this: Resource temporarily unavailable; ask for "
        "fewer threads with -t, or raise their limit (ulimit -u, pids.max, TasksMax)");
  }
}

// A worker held up by the system looks like this: it stops wherever it is, for long.
int hold_pipe[2];
std::atomic<bool> is_held{false};
void hold(int) {
  is_held = true;
  char byte;
  while (::read(hold_pipe[0], &byte, 1) != 1) {
  }
  is_held = false;
}

TEST(Threads, NobodyWaitsForOneThatDoesNotCome) {
  ASSERT_EQ(::pipe(hold_pipe), 0);
  struct sigaction action{};
  action.sa_handler = hold;
  ASSERT_EQ(::sigaction(SIGUSR1, &action, nullptr), 0);
  ThreadPool pool(2);
  std::atomic<bool> came{false};
  pthread_t worker{};
  const auto meet = [&](int thread, int) {
    if (thread == 1) {
      worker = ::pthread_self();
      came = true;
    }
    while (!came) std::this_thread::yield();
  };
  pool.run(meet);
  ASSERT_EQ(::pthread_kill(worker, SIGUSR1), 0);
  while (!is_held) std::this_thread::yield();

  int64_t sum = 0;  // no race: one thread does it all
  for (int i = 0; i < 100; ++i) {
    pool.parallel_for(100, 1, [&](int64_t begin, int64_t end) { sum += end - begin; });
  }
  EXPECT_EQ(sum, 10'000);

  ASSERT_EQ(::write(hold_pipe[1], "x", 1), 1);
  came = false;
  pool.run(meet);  // and now it is back
}

double cpu_seconds() {
  struct rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// CPU time of many short parallel loops. Unlike the time by the clock it does not depend on what
// else runs here.
double cost_of_loops(ThreadPool& pool) {
  const double begin = cpu_seconds();
  for (int i = 0; i < 2000; ++i) {
    pool.parallel_for(32, 1, [](int64_t first, int64_t last) {
      std::atomic<int64_t> busy{0};
      while (++busy < (last - first) * 500) {
      }
    });
  }
  return cpu_seconds() - begin;
}

TEST(Threads, ManyMoreThanCpusWasteLittle) {
  std::vector<int> two = allowed_cpus();
  two.resize(std::min<size_t>(two.size(), 2));
  ThreadPool alone(1);
  ThreadPool crowd(ThreadChoice{.threads = 16, .crowded = true, .cpus = two, .reason = {}});
  const double one = cost_of_loops(alone);
  const double many = cost_of_loops(crowd);  // 1.6 times that; waiting for all makes it 25 times
  EXPECT_LT(many, 4 * one) << "1 thread: " << one << " s";
}

TEST(Threads, WorkersStayWhereTheyShould) {
  const std::vector<int> all = allowed_cpus();
  ASSERT_FALSE(all.empty());
  const std::vector<int> one{all.back()};
  ThreadPool pool(ThreadChoice{.threads = 2, .crowded = true, .cpus = one, .reason = {}});
  std::atomic<bool> came{false};
  std::vector<int> seen;
  pool.run([&](int thread, int) {
    if (thread == 1 && !came) {
      seen = allowed_cpus();
      came = true;
    }
    while (!came) std::this_thread::yield();
  });
  EXPECT_EQ(seen, one);
  EXPECT_EQ(allowed_cpus(), all) << "the caller is left alone";
}

}  // namespace
}  // namespace st

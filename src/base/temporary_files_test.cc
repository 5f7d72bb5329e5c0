#include "base/temporary_files.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "base/file.h"
#include "support/temporary_folder.h"

namespace st {
namespace {

void write_some(AtomicFile& file) { file.write(std::as_bytes(std::span("some", 4))); }

// A process that holds a temporary file for `path` until it is killed.
pid_t start_writer(const std::string& path) {
  int ready[2];
  EXPECT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    AtomicFile file(path);
    write_some(file);
    static_cast<void>(::write(ready[1], "x", 1));
    for (;;) ::pause();
  }
  char x = 0;
  EXPECT_EQ(::read(ready[0], &x, 1), 1);
  ::close(ready[0]);
  ::close(ready[1]);
  return child;
}

TEST(TemporaryFiles, WhatAKilledProcessLeftIsRemovedByTheNextWriter) {
  const TemporaryFolder folder;
  const pid_t dead = start_writer(folder / "out");
  ::kill(dead, SIGKILL);
  ::waitpid(dead, nullptr, 0);
  EXPECT_EQ(folder.entries(), 1u);
  AtomicFile file(folder / "out");
  EXPECT_EQ(folder.entries(), 1u);  // its own
  write_some(file);
  file.commit();
  EXPECT_EQ(folder.entries(), 1u);
  EXPECT_EQ(read_text_file(folder / "out"), "some");
}

TEST(TemporaryFiles, ThoseOfTheLivingStay) {
  const TemporaryFolder folder;
  const pid_t other = start_writer(folder / "out");
  {
    AtomicFile one(folder / "out"), two(folder / "out");
    EXPECT_EQ(folder.entries(), 3u);
    write_some(one);
    one.commit();
    write_some(two);
    two.commit();
    EXPECT_EQ(folder.entries(), 2u);
  }
  ::kill(other, SIGKILL);
  ::waitpid(other, nullptr, 0);
}

TEST(TemporaryFiles, OnlyWhatIsCertainlyOneIsRemoved) {
  const TemporaryFolder folder;
  const std::string others[] = {"out.1.tmp",        "out.0123456.tmp",    "out.012345678.tmp",
                                "out.0123456g.tmp", "out-01234567.tmp",   "xout.01234567.tmp",
                                "ou.01234567.tmp",  "out.01234567.tmp.x", "out.01234567"};
  for (const std::string& name : others) std::ofstream(folder / name) << "mine";
  std::filesystem::create_directory(folder / "out.89abcdef.tmp");
  std::filesystem::create_symlink(folder / "out.1.tmp", folder / "out.00000000.tmp");
  std::ofstream(folder / "out.01234567.tmp") << "left";
  {
    AtomicFile file(folder / "out");
  }
  EXPECT_EQ(folder.entries(), std::size(others) + 2);
  EXPECT_FALSE(std::filesystem::exists(folder / "out.01234567.tmp"));
}

// What a signal handler does, at any moment of threads that make, commit and drop files.
TEST(TemporaryFiles, NoneStaysWhenTheProcessEnds) {
  for (int i = 0; i < 50; ++i) {
    const TemporaryFolder folder;
    const pid_t child = ::fork();
    if (child == 0) {
      std::atomic<int> made = 0;
      for (int t = 0; t < 3; ++t) {
        std::thread([&, t] {
          for (;; ++made) {
            AtomicFile one(folder / "a" + std::to_string(t)), two(folder / "b");
            write_some(one);
            if (made % 2 == 0) one.commit();
          }
        }).detach();
      }
      while (made < i) ::usleep(10);
      remove_temporaries();
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_EQ(status, 0);
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      EXPECT_NE(entry.path().extension(), ".tmp") << i;
    }
  }
}

}  // namespace
}  // namespace st

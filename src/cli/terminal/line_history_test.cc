#include "cli/terminal/line_history.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/temporary_folder.h"

namespace st {
namespace {

using Entries = std::vector<std::string>;

TEST(LineHistory, EntriesOfSeveralLinesComeBackWhole) {
  const TemporaryFolder folder;
  const Entries entries{"one", "two\nlines", "back\\slash \\n", "\n", "\u4f60\u597d", "\\"};
  {
    LineHistory history(folder / "history");
    for (const std::string& entry : entries) history.add(entry);
  }
  EXPECT_EQ(LineHistory(folder / "history").entries(), entries);
}

TEST(LineHistory, OnlyTheUserMayReadTheFile) {
  const TemporaryFolder folder;
  folder.write("history", "old");
  ::chmod((folder / "history").c_str(), 0644);
  LineHistory(folder / "history").add("new");
  struct stat info{};
  ASSERT_EQ(::stat((folder / "history").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(LineHistory(folder / "history").entries(), (Entries{"old", "new"}));
}

TEST(LineHistory, KeepsTheLastThousandAndNothingTwiceInARow) {
  const TemporaryFolder folder;
  LineHistory history(folder / "history");
  for (int i = 0; i < 1200; ++i) {
    for (int times = 0; times < 2; ++times) history.add("entry " + std::to_string(i));
  }
  history.add("");
  const LineHistory again(folder / "history");
  for (const LineHistory* one : {&std::as_const(history), &again}) {
    ASSERT_EQ(one->entries().size(), 1000u);
    EXPECT_EQ(one->entries().front(), "entry 200");
    EXPECT_EQ(one->entries().back(), "entry 1199");
  }
}

TEST(LineHistory, TwoRunsAddToOneFile) {
  const TemporaryFolder folder;
  LineHistory a(folder / "history"), b(folder / "history");
  a.add("a");
  b.add("b");
  a.add("c");
  EXPECT_EQ(LineHistory(folder / "history").entries(), (Entries{"a", "b", "c"}));
}

TEST(LineHistory, ALongFileIsCutToTheEntriesThatCount) {
  const TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 60'000; ++i) lines += std::string(90, 'x') + std::to_string(i) + "\n";
  folder.write("history", lines + "last");
  const LineHistory history(folder / "history");
  ASSERT_EQ(history.entries().size(), 1000u);
  EXPECT_EQ(history.entries().back(), "last");
  struct stat info{};
  ASSERT_EQ(::stat((folder / "history").c_str(), &info), 0);
  EXPECT_LT(info.st_size, 200'000);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(LineHistory(folder / "history").entries(), history.entries());
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(LineHistory, NoOtherFileIsWaitedFor) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "history").c_str(), 0600), 0);
  LineHistory history(folder / "history");
  history.add("one");
  const int reader = ::open((folder / "history").c_str(), O_RDONLY | O_NONBLOCK);
  history.add("two");
  char byte = 0;
  EXPECT_EQ(::read(reader, &byte, 1), 0) << "what is typed is for a file of ours alone";
  ::close(reader);
  EXPECT_EQ(history.entries(), (Entries{"one", "two"}));
}

TEST(LineHistory, WithoutAFileItLastsAsLongAsTheRun) {
  const TemporaryFolder folder;
  for (const std::string& path : {std::string(), folder / "none/history", folder.path()}) {
    LineHistory history(path);
    history.add("one");
    EXPECT_EQ(history.entries(), Entries{"one"});
  }
  EXPECT_EQ(folder.entries(), 0u);
}

}  // namespace
}  // namespace st

#include "chat/session_folder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "chat/journal_file.h"
#include "support/bytes.h"
#include "support/temporary_folder.h"

namespace st {
namespace {

using testkit::error_of;

TEST(SessionNames, AreFewCharacters) {
  for (const char* good : {"a", "A-1_b.c", "CON", "x."}) EXPECT_TRUE(is_session_name(good)) << good;
  EXPECT_TRUE(is_session_name(std::string(64, 'x')));
  for (const char* bad : {"", ".", "..", ".a", "../x", "a/b", "a b", "a\\b", "\xc3\xa9", "a\n"}) {
    EXPECT_FALSE(is_session_name(bad)) << bad;
  }
  EXPECT_FALSE(is_session_name(std::string(65, 'x')));
  EXPECT_FALSE(is_session_name(std::string("a\0b", 3)));
}

class SessionFolder : public testing::Test {
 protected:
  SessionFolder() { ::setenv("XDG_STATE_HOME", home.path().c_str(), 1); }
  ~SessionFolder() override { ::unsetenv("XDG_STATE_HOME"); }

  std::string names() const {
    std::string all;
    for (const SessionInfo& session : list_sessions()) {
      all += session.name + (session.error.empty() ? " " : "! ");
    }
    return all;
  }
  void write(const std::string& name, const std::string& text, int64_t time) {
    const std::string path = session_path(name);
    write_session(path, {{.role = "user", .content = text}});
    const timespec times[2] = {{.tv_sec = time, .tv_nsec = 0}, {.tv_sec = time, .tv_nsec = 0}};
    ::utimensat(AT_FDCWD, path.c_str(), times, 0);
  }

  const TemporaryFolder home;
};

TEST_F(SessionFolder, PathsAreOfNamesOrFiles) {
  EXPECT_EQ(session_folder(), home / "smallthinker/sessions");
  EXPECT_EQ(session_path("a"), home / "smallthinker/sessions/a.stsession");
  EXPECT_EQ(session_path("./a"), "./a");
  EXPECT_EQ(session_path("a.stsession"), "a.stsession");
  EXPECT_EQ(error_of([] { session_path(".."); }),
            "session '..': want 1 to 64 of A-Z a-z 0-9 . _ -, no dot first, or a path");
  EXPECT_NE(error_of([] { session_path(std::string("/a\0b", 4)); }), "no error");
  struct stat info{};
  ASSERT_EQ(::stat(session_folder().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
}

TEST_F(SessionFolder, ListsWhatIsThere) {
  EXPECT_EQ(names(), "");
  write("old", "What is old?\nAnd new?", 1000);
  write("new", "x", 2000);
  std::ofstream(session_folder() + "/broken.stsession") << "nonsense";
  std::ofstream(session_folder() + "/notes.txt") << "mine";
  ASSERT_EQ(::symlink(session_path("old").c_str(), session_path("link").c_str()), 0);
  EXPECT_EQ(names(), "new old broken! link! ");
  const SessionInfo old = read_session(session_path("old"));
  EXPECT_EQ(session_title(old.chat), "What is old?");
  EXPECT_EQ(old.modified, 1000);
  EXPECT_EQ(old.chat.messages,
            (std::vector<Message>{{.role = "user", .content = "What is old?\nAnd new?"}}));
}

TEST_F(SessionFolder, RemovesSessionsAndNothingElse) {
  write("a", "x", 1000);
  const std::string path = session_path("a");
  EXPECT_EQ(error_of([&] { write_session(path, {}); }), path + ": is there already");
  {
    const JournalFile held(path, JournalFile::Access::kWrite);
    EXPECT_EQ(error_of([&] { remove_session(path); }), path + ": in use by another process");
  }
  remove_session(path);
  EXPECT_EQ(error_of([&] { remove_session(path); }),
            path + ": cannot open: No such file or directory");
  const std::string notes = home / "notes";
  std::ofstream(notes) << "these are my notes";
  EXPECT_EQ(error_of([&] { remove_session(notes); }), notes + ": no conversation of this program");
  EXPECT_EQ(::access(notes.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace st

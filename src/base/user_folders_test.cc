#include "base/user_folders.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "support/temporary_folder.h"

namespace st {
namespace {

// An environment of these two variables.
class UserFolders : public testing::Test {
 protected:
  UserFolders() { set(nullptr, nullptr); }
  static void set(const char* home, const char* state) {
    set_one("HOME", home);
    set_one("XDG_STATE_HOME", state);
  }

 private:
  static void set_one(const char* name, const char* value) {
    value ? ::setenv(name, value, 1) : ::unsetenv(name);
  }
};

TEST_F(UserFolders, AreWhereTheEnvironmentSays) {
  set("/home/ann", nullptr);
  EXPECT_EQ(user_folder(UserFolder::kState), "/home/ann/.local/state/smallthinker");
  set("/home/ann", "/var/ann");
  EXPECT_EQ(user_folder(UserFolder::kState), "/var/ann/smallthinker");
  set(nullptr, "/var/ann");
  EXPECT_EQ(user_folder(UserFolder::kState), "/var/ann/smallthinker");
  set("/home/ann", "not/absolute");
  EXPECT_EQ(user_folder(UserFolder::kState), "/home/ann/.local/state/smallthinker");
  set("", "");
  EXPECT_EQ(user_folder(UserFolder::kState), "");
}

TEST_F(UserFolders, AreMadeForTheUserAlone) {
  const TemporaryFolder folder;
  set((folder / "home").c_str(), nullptr);
  std::filesystem::create_directory(folder / "home");
  for (int times = 0; times < 2; ++times) {
    const std::string made = make_user_folder(UserFolder::kState);
    EXPECT_EQ(made, folder / "home" + "/.local/state/smallthinker");
    struct stat info{};
    ASSERT_EQ(::stat(made.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0700u);
  }
}

TEST_F(UserFolders, CannotBeMadeWithoutAHomeOrBelowAFile) {
  const auto error = [] {
    try {
      make_user_folder(UserFolder::kState);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(error(), "no folder for your files: neither HOME nor XDG_STATE_HOME is set");
  const TemporaryFolder folder;
  std::ofstream(folder / "file") << "x";
  set((folder / "file").c_str(), nullptr);
  EXPECT_EQ(error(), folder / "file" + "/.local: cannot make the folder: Not a directory");
}

}  // namespace
}  // namespace st

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/file.h"

namespace st {
namespace {

class Overwrite : public testing::Test {
 protected:
  Overwrite() {
    std::filesystem::create_directory(folder_);
    for (const char* name : {"in", "other"}) std::ofstream(folder_ / name) << name;
    std::filesystem::create_symlink("in", folder_ / "link");
    std::filesystem::create_hard_link(folder_ / "in", folder_ / "hard");
    std::filesystem::create_directory_symlink(folder_, folder_ / "loop");
  }
  ~Overwrite() override { std::filesystem::remove_all(folder_); }

  std::string path(std::string_view name) const { return (folder_ / name).string(); }

  // What is wrong with writing these while these are read.
  std::string refusal(std::vector<std::string> outputs, std::vector<std::string> inputs) const {
    for (auto* names : {&outputs, &inputs}) {
      for (std::string& name : *names) name = name.empty() ? name : path(name);
    }
    try {
      refuse_overwriting(outputs, inputs);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidUsage);
      return e.what();
    }
    return "";
  }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("overwrite-" + std::to_string(::getpid()));
};

TEST_F(Overwrite, AnInputUnderAnyName) {
  for (const std::string name : {"in", "link", "hard", "./in", "loop/in", "loop/loop/link"}) {
    EXPECT_EQ(
        refusal({"new", name}, {"other", "in"}),
        path(name) + ": is the same file as " + path("in") + ", which is read: write another one");
  }
  EXPECT_EQ(refusal({"in"}, {"link"}), path("in") + ": is the same file as " + path("link") +
                                           ", which is read: write another one");
}

TEST_F(Overwrite, TwoOutputs) {
  EXPECT_EQ(refusal({"new", "loop/new"}, {}),
            path("loop/new") + ": is the same file as " + path("new") + ", which is written too");
  EXPECT_EQ(refusal({"in", "hard"}, {}),
            path("hard") + ": is the same file as " + path("in") + ", which is written too");
}

TEST_F(Overwrite, OtherFilesAreFine) {
  EXPECT_EQ(refusal({"new", "newer"}, {"in", "other", "nothing"}), "");
  EXPECT_EQ(refusal({"other"}, {"in"}), "");
  EXPECT_EQ(refusal({"", ""}, {"", ""}), "");
  EXPECT_EQ(refusal({"none/in", "none/in"}, {"none/in"}), "");  // a folder that is not there
  refuse_overwriting(std::vector<std::string>{"/dev/null", "/dev/null"},
                     std::vector<std::string>{"/dev/null"});
}

}  // namespace
}  // namespace st

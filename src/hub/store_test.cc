#include "hub/store.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/temporary_folder.h"

namespace st {
namespace {

const std::string kCommit(40, 'c');

ModelName name(std::string_view text) { return *parse_model_name(text); }

std::vector<std::string> names(const ModelStore& store) {
  std::vector<std::string> out;
  for (const StoredModel& model : store.list()) {
    out.push_back(model.name.text() + (model.whole ? "" : "?") + (model.ours ? "" : "*"));
  }
  return out;
}

using Names = std::vector<std::string>;

TEST(ModelStore, IsEmptyWithoutFolders) {
  const TemporaryFolder folder;
  EXPECT_EQ(names(ModelStore(folder / "none", folder / "neither")), Names{});
  EXPECT_EQ(names(ModelStore("", "")), Names{});
  EXPECT_FALSE(ModelStore("", "").find(name("a/b")));
}

TEST(ModelStore, ListsWhatFindsIt) {
  const TemporaryFolder folder;
  for (const char* file :
       {"ours/o/r/m-Q4_0.gguf", "ours/o/r/m-UD-Q4_0.gguf", "ours/o/r/plain.gguf",
        "ours/o/r/m-Q8_0-00001-of-00002.gguf", "ours/o/r/m-Q8_0.gguf.0123456789abcdef.part",
        "ours/o/r/README.md", "ours/o/file", "ours/file", "ours/.git/x/m.gguf",
        "ours/o/c/config.json", "ours/o/c/model.safetensors"}) {
    folder.write(file, "x");
  }
  const ModelStore store(folder / "ours", "");
  EXPECT_EQ(names(store), (Names{"o/c:safetensors", "o/r:Q4_0", "o/r:m-Q8_0.gguf?",
                                 "o/r:m-UD-Q4_0.gguf", "o/r:plain.gguf"}));
  for (const StoredModel& model : store.list()) {
    if (!model.whole) continue;
    const auto found = store.find(model.name);
    ASSERT_TRUE(found) << model.name.text();
    EXPECT_EQ(found->path, model.path);
  }
  EXPECT_EQ(store.find(name("o/r"))->path, folder / "ours/o/r/m-Q4_0.gguf");
  EXPECT_EQ(store.find(name("o/c"))->path, folder / "ours/o/c");
  EXPECT_FALSE(store.find(name("o/r:Q8_0")));
  EXPECT_FALSE(store.find(name("o/x")));
}

TEST(ModelStore, FollowsNoLinks) {
  const TemporaryFolder folder;
  folder.write("elsewhere/r/m.gguf", "x");
  folder.write("ours/o/r/real.gguf", "x");
  namespace fs = std::filesystem;
  fs::create_symlink(folder / "elsewhere", folder / "ours/owner");
  fs::create_symlink(folder / "elsewhere/r", folder / "ours/o/linked");
  fs::create_symlink(folder / "elsewhere/r", folder / "ours/o/r/below");
  fs::create_symlink(folder / "elsewhere/r/m.gguf", folder / "ours/o/r/m.gguf");
  const ModelStore store(folder / "ours", "");
  EXPECT_EQ(names(store), Names{"o/r:real.gguf"});
  try {
    store.make_folder(name("owner/r"));
    FAIL() << "followed a link";
  } catch (const Error& e) {
    EXPECT_EQ(e.what(), folder / "ours/owner" + ": is a link: not followed");
  }
}

TEST(ModelStore, FindsTheSnapshotsOfHuggingFace) {
  const TemporaryFolder folder;
  folder.write("hub/models--o--r-x/refs/main", kCommit);
  folder.write("hub/models--o--r-x/blobs/b1", "x");
  std::filesystem::create_directories(folder / ("hub/models--o--r-x/snapshots/" + kCommit));
  std::filesystem::create_symlink(
      "../../blobs/b1", folder / ("hub/models--o--r-x/snapshots/" + kCommit + "/m-Q4_0.gguf"));
  folder.write("hub/models--o--r-x/snapshots/old/m-Q8_0.gguf", "x");
  folder.write("hub/models--o--evil/refs/main", "../../../elsewhere");
  folder.write("elsewhere/m.gguf", "x");
  folder.write("hub/models--o--none/snapshots/x/m.gguf", "x");
  folder.write("hub/datasets--o--d/refs/main", kCommit);
  folder.write("hub/file", "x");
  folder.write("ours/o/other/m-Q4_0.gguf", "x");
  const ModelStore store(folder / "ours", folder / "hub");
  EXPECT_EQ(names(store), (Names{"o/other:Q4_0", "o/r-x:Q4_0*"}));
  EXPECT_EQ(store.find(name("o/r-x"))->path,
            folder / ("hub/models--o--r-x/snapshots/" + kCommit + "/m-Q4_0.gguf"));
  folder.write("ours/o/r-x/m-Q4_0.gguf", "x");  // ours come first
  EXPECT_EQ(store.find(name("o/r-x"))->path, folder / "ours/o/r-x/m-Q4_0.gguf");
}

TEST(ModelStore, RemovesModelsAndEmptyFolders) {
  const TemporaryFolder folder;
  for (const char* file : {"ours/o/r/sub/m-Q4_0-00001-of-00002.gguf", "ours/o/r/m-Q8_0.gguf",
                           "ours/o/r/sub/m-Q4_0-00002-of-00002.gguf"}) {
    folder.write(file, "x");
  }
  const ModelStore store(folder / "ours", "");
  store.remove(*store.find(name("o/r:Q4_0")));
  EXPECT_EQ(names(store), Names{"o/r:Q8_0"});
  EXPECT_FALSE(std::filesystem::exists(folder / "ours/o/r/sub"));
  store.remove(*store.find(name("o/r")));
  EXPECT_FALSE(std::filesystem::exists(folder / "ours/o"));
  EXPECT_TRUE(std::filesystem::exists(folder / "ours"));
}

}  // namespace
}  // namespace st

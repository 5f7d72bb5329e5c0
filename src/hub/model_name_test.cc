#include "hub/model_name.h"

#include <gtest/gtest.h>

namespace st {
namespace {

TEST(ModelName, IsOwnerRepositoryAndChoice) {
  const auto name = parse_model_name("ggml-org/Qwen3-0.6B-GGUF:Q4_0");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->owner, "ggml-org");
  EXPECT_EQ(name->repo, "Qwen3-0.6B-GGUF");
  EXPECT_EQ(name->choice, "Q4_0");
  EXPECT_EQ(name->text(), "ggml-org/Qwen3-0.6B-GGUF:Q4_0");
  EXPECT_EQ(parse_model_name("a/b:latest")->choice, "");
  EXPECT_EQ(parse_model_name("a/b:latest")->text(), "a/b");
  EXPECT_EQ(parse_model_name("a/b_.c")->repo, "b_.c");
  EXPECT_EQ(parse_model_name("a/b:sub/m.gguf")->choice, "sub/m.gguf");
}

TEST(ModelName, IsNothingElse) {
  for (const char* text : {"",
                           "/",
                           "a",
                           "a/",
                           "/b",
                           "a/b/c",
                           "./b",
                           "../b",
                           "~/b",
                           "a/.b",
                           "a/b.",
                           "-a/b",
                           "a/-b",
                           "a--x/b",
                           "a/b--c",
                           "a/b..c",
                           "a/b:",
                           "a/b:../c",
                           "a/b:c/../d",
                           "a/b:/etc",
                           "a/b:.hidden",
                           "a/b:-x",
                           "a/b c",
                           "a/b\n",
                           "a/b:c\n",
                           "models/m.gguf",
                           "a/b.safetensors",
                           "ä/b",
                           "http://a/b",
                           "a/b:c\\d",
                           "a:b/c"}) {
    EXPECT_FALSE(parse_model_name(text)) << text;
  }
  EXPECT_TRUE(parse_model_name(std::string(96, 'a') + "/b"));
  EXPECT_FALSE(parse_model_name(std::string(97, 'a') + "/b"));
}

TEST(SafePath, StaysBelowItsFolder) {
  for (const char* path : {"m.gguf", "Q4_K_M/m-00001-of-00002.gguf", "a b (1)+[2],=@_.gguf"}) {
    EXPECT_TRUE(is_safe_path(path)) << path;
  }
  for (const char* path : {"",     "/m",  "a//b",  "a/",          "..",   "../m", "a/../m",
                           "a/..", ".",   "./m",   ".git/config", "a/.b", "-rf",  "a/-b",
                           "a\\b", "a:b", "a\x01", "a\x7f",       "ä",    "a*",   "a?",
                           "a\nb", "a'b", "a\"b",  "a|b",         "$a",   "a;b",  "a%2f"}) {
    EXPECT_FALSE(is_safe_path(path)) << path;
  }
  EXPECT_FALSE(is_safe_path(std::string_view("a\0b", 3)));
  EXPECT_TRUE(is_safe_path(std::string(150, 'a')));
  EXPECT_FALSE(is_safe_path(std::string(151, 'a')));
  EXPECT_TRUE(is_safe_path("1/2/3/4/5/6/7/8"));
  EXPECT_FALSE(is_safe_path("1/2/3/4/5/6/7/8/9"));
}

}  // namespace
}  // namespace st

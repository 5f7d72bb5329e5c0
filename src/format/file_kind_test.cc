#include "format/file_kind.h"

#include <gtest/gtest.h>

#include "support/bytes.h"

namespace st {
namespace {

using namespace testkit;

TEST(FileKind, AccidentsOfDownloads) {
  EXPECT_EQ(file_kind("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 34\n"),
            "a Git LFS pointer, not the file itself: run 'git lfs pull'");
  for (const char* page : {"<!DOCTYPE html>", "\xef\xbb\xbf\n <html lang=en>", "<HEAD>"}) {
    EXPECT_EQ(file_kind(page), "an HTML page: the download failed, or needs you to log in");
  }
  EXPECT_EQ(file_kind(""), "empty: was the download interrupted?");
  EXPECT_EQ(file_kind(std::string(4096, '\0')),
            "zeros where it should begin: was the download interrupted?");
  EXPECT_EQ(file_kind("Entry not found"), "a text, 'Entry not found': did the download fail?");
  EXPECT_EQ(file_kind(R"({"error": "gated"})"), "a JSON text");
}

TEST(FileKind, OtherFormats) {
  EXPECT_EQ(file_kind("\x1f\x8b\x08"), "a gzip archive: unpack it first");
  EXPECT_EQ(file_kind(std::string("\xfd\x37zXZ\0\0", 7)), "an xz archive: unpack it first");
  EXPECT_EQ(file_kind("\x28\xb5\x2f\xfd"), "a zstd archive: unpack it first");
  EXPECT_EQ(file_kind(zip_of({{"model.gguf", "x"}})), "a zip archive: unpack it first");
  EXPECT_EQ(file_kind(zip_of({{"archive/data.pkl", "x"}})),
            "a PyTorch file: convert reads safetensors");
  EXPECT_EQ(file_kind(std::string(257, 'x') + "ustar"), "a tar archive: unpack it first");
  EXPECT_EQ(file_kind(le(uint64_t{300}) + R"({"x":)"),
            "a safetensors file: convert makes a GGUF file of its folder");
  EXPECT_EQ(file_kind("GGUF"), "a GGUF file");
  EXPECT_EQ(file_kind("tjgg"), "a GGML file, older than GGUF: convert the model again");
}

TEST(FileKind, TheUnknownIsNotGuessed) {
  EXPECT_EQ(file_kind("\x01\x02\x03\x04"), "");
  EXPECT_EQ(file_kind(le(uint64_t{300}) + "x"), "");
  EXPECT_EQ(error_of([] { fail_wrong_kind("a GGUF file", "\x01"); }), "not a GGUF file");
  EXPECT_EQ(error_of([] { fail_wrong_kind("a GGUF file", *source_of("Not Found")); }),
            "not a GGUF file: it is a text, 'Not Found': did the download fail?");
}

}  // namespace
}  // namespace st

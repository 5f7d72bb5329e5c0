#include "hub/listing.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "hub/http.h"
#include "hub/hub.h"
#include "support/bytes.h"

namespace st {
namespace {

using testkit::error_of;

const std::string kSha1(40, 'a');
const std::string kSha256(64, 'b');

TEST(ParseRefs, FindsMain) {
  const std::string text = fmt::format(
      R"({{"tags": [], "branches": [7, {{"name": "x", "targetCommit": "{0}"}},
          {{"name": "main", "ref": "refs/heads/main", "targetCommit": "{1}"}}], "converts": []}})",
      std::string(40, '1'), std::string(40, 'A'));
  EXPECT_EQ(parse_refs(text), kSha1);
}

TEST(ParseRefs, RefusesWhatIsNoAnswer) {
  for (const auto& [text, message] :
       {std::pair{R"({"branches": []})", "branches: there is no 'main'"},
        {R"({"branches": {}})", "branches: want a list"},
        {R"({})", "branches: want a list"},
        {R"({"branches": [{"name": "main", "targetCommit": "../../x"}]})",
         "targetCommit: '../../x': want 40 hexadecimal digits"},
        {R"({"branches": [{"name": "main"}]})", "targetCommit: '': want 40 hexadecimal digits"}}) {
    EXPECT_EQ(error_of([&] { parse_refs(text); }), message);
  }
  EXPECT_EQ(error_of([] { parse_refs("<!DOCTYPE html><html>"); }),
            "not a JSON object: it is an HTML page: the download failed, or needs you to log in");
}

TEST(ParseTree, ReadsFilesOfBothKinds) {
  const auto files = parse_tree(fmt::format(
      R"([{{"type": "directory", "path": "sub", "oid": "x", "size": 0}},
          {{"type": "file", "path": "config.json", "oid": "{0}", "size": 7}},
          {{"type": "file", "path": "sub/m.gguf", "oid": "{0}", "size": 5000000000,
            "lfs": {{"oid": "{1}", "size": 5000000000, "pointerSize": 135}}, "xetHash": "y"}}])",
      kSha1, kSha256));
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(files[0].path, "config.json");
  EXPECT_EQ(files[0].size, 7U);
  EXPECT_EQ(files[0].digest, kSha1);
  EXPECT_EQ(files[1].path, "sub/m.gguf");
  EXPECT_EQ(files[1].size, 5000000000U);
  EXPECT_EQ(files[1].digest, kSha256);
}

TEST(ParseTree, LeavesOutWhatMayNotBeWritten) {
  for (const char* path : {"../m.gguf", "/etc/passwd", "a/../../m.gguf", ".ssh/x", "a\\\\b", ""}) {
    const std::string entry =
        fmt::format(R"([{{"type": "file", "path": "{}", "oid": "{}", "size": 7}}])", path, kSha1);
    EXPECT_TRUE(parse_tree(entry).empty()) << path;
  }
}

TEST(ParseTree, RefusesFilesWithoutSizeOrDigest) {
  const auto answer = [](const std::string& members) {
    return error_of(
        [&] { parse_tree(R"([{"type": "file", "path": "m.gguf", )" + members + "}]"); });
  };
  EXPECT_EQ(answer(R"("size": 7)"), "m.gguf: oid: '': want 40 hexadecimal digits");
  EXPECT_EQ(answer(R"("size": 7, "lfs": {"size": 7, "oid": ")" + kSha1 + "\"}"),
            "m.gguf: oid: '" + kSha1 + "': want 64 hexadecimal digits");
  EXPECT_EQ(answer(R"("size": -1, "oid": ")" + kSha1 + "\""),
            "m.gguf: size: want an integer in 0..1125899906842624, got -1");
  EXPECT_EQ(error_of([] { parse_tree("{}"); }), "not a JSON list: it is a JSON text");
}

TEST(ReadHeader, KnowsWhatMatters) {
  HttpHead head;
  for (const char* line :
       {"Content-Length: 12\r\n", "CONTENT-RANGE:bytes 5-16/17 \r\n", "retry-after: 3\r\n",
        "X-Error-Message: no\r\n", "nonsense\r\n", ":\r\n",
        "Link: <https://h/a?cursor=1>; rel=\"prev\", <https://h/b>; rel=\"next\"\r\n"}) {
    read_header(line, head);
  }
  EXPECT_EQ(head.length, 12U);
  EXPECT_EQ(head.begin, 5U);
  EXPECT_EQ(head.total, 17U);
  EXPECT_EQ(head.retry_after, 3U);
  EXPECT_EQ(head.message, "no");
  EXPECT_EQ(head.next, "https://h/b");
}

TEST(ReadHeader, TakesNoNonsense) {
  HttpHead head;
  for (const char* line : {"Content-Length: -1\r\n", "Content-Length: 1e3\r\n",
                           "Content-Length: 99999999999999999999\r\n", "Content-Range: 1-2/3\r\n",
                           "Content-Range: bytes */x\r\n", "Retry-After: Wed, 21 Oct\r\n",
                           "Link: <https://h\r\n", "Link: https://h; rel=\"next\"\r\n"}) {
    read_header(line, head);
  }
  EXPECT_FALSE(head.length || head.begin || head.total);
  EXPECT_EQ(head.retry_after, 0U);
  EXPECT_EQ(head.next, "");
}

TEST(OriginOf, IsSchemeHostAndPort) {
  EXPECT_EQ(origin_of("https://Huggingface.co/a/b?c=d://e"), "https://huggingface.co:443");
  EXPECT_EQ(origin_of("http://localhost:8080"), "http://localhost:8080");
  EXPECT_EQ(origin_of("http://[::1]/x"), "http://[::1]:80");
  EXPECT_EQ(origin_of("http://[::1]:81/x"), "http://[::1]:81");
  EXPECT_EQ(origin_of("HTTP://a?b"), "http://a:80");
}

TEST(OriginOf, RefusesWhatCouldBeReadInTwoWays) {
  for (const char* url :
       {"", "https", "https://", "ftp://a/", "file:///etc", "//a/b", "a/b", "https://u:p@a/",
        "https://a@b/", "https://a%2fb/", "https://a b/", "https:/a/b", "https://a\\@b/"}) {
    EXPECT_NE(error_of([&] { origin_of(url); }).find("want http:// or https://"), std::string::npos)
        << url;
  }
}

}  // namespace
}  // namespace st

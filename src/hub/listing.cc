#include "hub/listing.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "format/file_kind.h"
#include "format/json_object.h"
#include "hub/model_name.h"

namespace st {
namespace {

using nlohmann::json;

constexpr int64_t kLargestFile = int64_t{1} << 50;

// In small letters, or an Error unless it has one of these lengths.
std::string hexadecimal(std::string text, std::string_view name, size_t length) {
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'A' && c <= 'F' ? c | 32 : c; });
  const bool digits = text.find_first_not_of("0123456789abcdef") == text.npos;
  if (!digits || text.size() != length) {
    fail(ErrorCode::kInvalidData, "{}: '{}': want {} hexadecimal digits", name, printable(text),
         length);
  }
  return text;
}

HubFile read_file_entry(const json& entry, std::string path) {
  const json* large = find(entry, "lfs");
  const json& content = large != nullptr && large->is_object() ? *large : entry;
  const bool sha256 = &content != &entry;
  return with_context(printable(path), [&] {
    HubFile file{.path = path,
                 .size = static_cast<uint64_t>(get_int(content, "size", 0, kLargestFile)),
                 .digest = hexadecimal(find_string(content, "oid", ""), "oid", sha256 ? 64 : 40)};
    return file;
  });
}

}  // namespace

std::string parse_refs(std::string_view text) {
  const json answer = parse_json_object(text);
  const json* branches = find(answer, "branches");
  if (branches == nullptr || !branches->is_array()) {
    fail(ErrorCode::kInvalidData, "branches: want a list");
  }
  for (const json& branch : *branches) {
    if (!branch.is_object() || find_string(branch, "name", "") != "main") continue;
    return hexadecimal(find_string(branch, "targetCommit", ""), "targetCommit", 40);
  }
  fail(ErrorCode::kInvalidData, "branches: there is no 'main'");
}

std::vector<HubFile> parse_tree(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == text.npos || text[first] != '[') fail_wrong_kind("a JSON list", text);
  const json entries = parse_json(text);
  std::vector<HubFile> files;
  for (const json& entry : entries) {
    if (!entry.is_object() || find_string(entry, "type", "") != "file") continue;
    std::string path = find_string(entry, "path", "");
    if (is_safe_path(path)) files.push_back(read_file_entry(entry, std::move(path)));
  }
  return files;
}

}  // namespace st

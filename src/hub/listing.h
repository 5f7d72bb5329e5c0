// What a hub answers when it is asked for the files of a repository. Everything in it is from
// outside: parsed within limits, and what is no file that we could want is left out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace st {

// A file of a repository, on the hub or on this disk.
struct HubFile {
  std::string path;   // within the repository, see is_safe_path()
  uint64_t size = 0;  // bytes
  // Which bytes, in hexadecimal: 64 digits are their SHA-256, 40 git's SHA-1 of a blob. Empty of
  // files on this disk.
  std::string digest;
};

inline constexpr uint64_t kMaxAnswer = uint64_t{8} << 20;  // bytes of an answer in JSON

// The commit of branch main, 40 hexadecimal digits, from the answer of api/models/REPO/refs.
// Throws Error(kInvalidData).
std::string parse_refs(std::string_view text);

// The files of one page of api/models/REPO/tree/COMMIT?recursive=true. Throws Error(kInvalidData).
std::vector<HubFile> parse_tree(std::string_view text);

}  // namespace st

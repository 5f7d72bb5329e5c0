// Where the entries of a zip archive lie, for archives that store them as they are.
//
// A zip file describes each entry twice, in a directory at its end and in a header before the data,
// and readers differ in which they believe. We believe neither: both must say the same, the entries
// must not overlap, and none may be compressed or encrypted. Zip64 is understood; archive comments,
// prefixed archives and several disks are refused. Checksums are not verified: torch can be told to
// write none.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "base/file.h"

namespace st {

struct ZipEntry {
  uint64_t offset = 0;  // of its first byte in the file
  uint64_t size = 0;
};

// Entries by name: relative paths without "." or ".." components.
using ZipDirectory = std::map<std::string, ZipEntry, std::less<>>;

inline constexpr uint32_t kZipMagic = 0x04034b50;  // "PK\3\4", begins each entry
inline constexpr uint64_t kZipMaxEntries = 65'536;
inline constexpr uint64_t kZipMaxNameBytes = 255;

// Throws Error(kInvalidData), or Error(kUnsupported) for compressed or encrypted entries.
ZipDirectory read_zip_directory(const ByteSource& source);

}  // namespace st

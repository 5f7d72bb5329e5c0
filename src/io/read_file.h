// A file opened for reading past the page cache, where the file system allows that.
//
// Pages the kernel caches for us count against a cgroup's memory, so a process that promises a
// budget reads with O_DIRECT. Some file systems refuse it and a few accept it but return wrong
// bytes; so it is tried, compared with an ordinary read, and given up for this file if anything is
// amiss. Reads that go through the page cache instead are followed by POSIX_FADV_DONTNEED.
#pragma once

#include <cstdint>
#include <string>

#include "base/file.h"

namespace st {

class ReadFile {
 public:
  // Throws Error(kNotFound | kInvalidData | kIo), with the path. `want_direct` false: don't try.
  // `keep`: forget() leaves everything in the page cache.
  ReadFile(const std::string& path, bool want_direct, bool keep = false);
  ~ReadFile();
  ReadFile(const ReadFile&) = delete;
  ReadFile& operator=(const ReadFile&) = delete;

  const std::string& path() const { return file_.path(); }
  uint64_t size() const { return file_.size(); }
  bool direct() const { return direct_fd_ >= 0; }
  // Why not, in a few words; empty if direct().
  const std::string& reason() const { return reason_; }
  // Offsets, sizes and addresses of reads through fd() are multiples of this power of two.
  uint32_t alignment() const { return alignment_; }
  int fd() const { return direct() ? direct_fd_ : file_.fd(); }
  int cached_fd() const { return file_.fd(); }

  // After a read through cached_fd(): the page cache need not keep it.
  void forget(uint64_t offset, uint64_t bytes) const;

  FileChange change() const { return file_.change(); }  // since it was opened

 private:
  void try_direct();

  File file_;
  const bool keep_;
  int direct_fd_ = -1;
  uint32_t alignment_ = 4096;
  std::string reason_;
};

// True if both descriptors give the same bytes for the first, a middle and the last block of a file
// of `size` bytes. `direct_fd` is read in aligned blocks.
bool same_blocks(int direct_fd, int cached_fd, uint64_t size, uint32_t alignment);

}  // namespace st

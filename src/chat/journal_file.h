// A file that grows at its end and that one process at a time may have open.
//
// It is locked as long as it is open, only its user may read it, and it is no link. What is written
// becomes a file under its name all at once, or is appended to it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/file.h"

namespace st {

class JournalFile final : public ByteSource {
 public:
  enum class Access {
    kRead,    // of what others may append to; not locked
    kWrite,   // of one that is there
    kCreate,  // empty, if there is none; one that stays empty vanishes again
  };
  // Throws Error(kNotFound | kInvalidData | kIo), kIo also where it is in use.
  JournalFile(std::string path, Access access);
  ~JournalFile() override;
  JournalFile(const JournalFile&) = delete;
  JournalFile& operator=(const JournalFile&) = delete;

  const std::string& path() const { return path_; }
  uint64_t size() const override { return size_; }
  void read_at(uint64_t offset, std::span<std::byte> out) const override;

  // All throw Error(kIo), for example where the disk is full. Of what is appended nothing is sure
  // to be in the file before flush(), which no end of the process undoes, or sync(), which no crash
  // does.
  void append(std::span<const std::byte> bytes);
  void flush();
  void sync();
  void truncate(uint64_t size);
  // What `write` appends becomes the whole file, or, where that throws, nothing changes.
  void replace(const std::function<void(JournalFile&)>& write);
  // Whether the file still has its name: others may remove or rename it.
  bool in_place() const;

 private:
  bool open(Access access);
  [[noreturn]] void fail_io(const char* what) const;

  const std::string path_;
  const Access access_;
  int fd_ = -1;
  uint64_t size_ = 0;              // with what is not written yet
  std::vector<std::byte> buffer_;  // appended, not yet written
};

}  // namespace st

// Reading and writing files without surprises.
//
// ByteSource is the one way our parsers see bytes: a known size and positioned reads. File reads a
// regular file (never a pipe or a device), MemorySource a buffer. Both are safe to read from
// several threads at once. Reads that would cross the end are an Error, so a parser cannot run off
// a file.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace st {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual uint64_t size() const = 0;
  // Fills `out` with the bytes at [offset, offset + out.size()). Throws Error(kIo | kInvalidData).
  virtual void read_at(uint64_t offset, std::span<std::byte> out) const = 0;

  // A hint that returns at once: these bytes will be read soon, and not those around them.
  virtual void will_read(uint64_t offset, uint64_t bytes) const {
    static_cast<void>(offset), static_cast<void>(bytes);
  }

  // Who has read all he wants asks whether it was all of one piece: throws Error(kIo), with the
  // path, if the bytes are not sure to be those that were there before the first was read.
  virtual void check_unchanged() const {}
  // The same, also if another file has the name now: for who opens it again, or several that
  // belong together.
  virtual void check_in_place() const {}
};

class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(std::span<const std::byte> bytes) : bytes_(bytes) {}
  uint64_t size() const override { return bytes_.size(); }
  void read_at(uint64_t offset, std::span<std::byte> out) const override;

 private:
  std::span<const std::byte> bytes_;  // not owned
};

enum class FileChange {
  kNone,
  kModified,  // the bytes we read are no longer those we opened: written to, or cut short
  kReplaced,  // another file, or none, has this name now; what we have open is still as it was
};

class File final : public ByteSource {
 public:
  // Opens for reading. Throws Error(kNotFound) when it cannot be opened, Error(kInvalidData) when
  // it is not a regular file.
  explicit File(std::string path);
  ~File() override;
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const std::string& path() const { return path_; }
  int fd() const { return fd_; }
  uint64_t size() const override { return size_; }
  void read_at(uint64_t offset, std::span<std::byte> out) const override;
  void will_read(uint64_t offset, uint64_t bytes) const override;

  // What became of the file since it was opened, by its size and times: two system calls and no
  // reading, cheap enough to ask for every token. Its inode's time also tells of a writer who put
  // the time of modification back, and of changed rights or links, which count as a change too.
  FileChange change() const;
  void check_unchanged() const override;
  void check_in_place() const override;
  bool same_file(const struct stat& other) const;

  // What was read need not stay in the page cache, and from now on reads are few and scattered.
  void expect_scattered_reads() const;

 private:
  void note_state();

  std::string path_;
  int fd_ = -1;
  uint64_t size_ = 0;
  struct stat opened_{};  // before the first byte was read
};

// The whole file as text; refuses more than `max_bytes`.
std::string read_text_file(const std::string& path, uint64_t max_bytes = uint64_t{1} << 30);

// A new file that appears under its name complete or not at all: bytes go to a temporary file in
// the same folder; commit() syncs, renames and syncs the folder. Without commit() the temporary
// vanishes.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Appends. Throws Error(kIo), e.g. when the disk is full.
  void write(std::span<const std::byte> bytes);
  void write_zeros(uint64_t count);
  // Overwrites bytes that write() already produced.
  void write_at(uint64_t offset, std::span<const std::byte> bytes);
  uint64_t position() const { return position_; }
  void commit();

 private:
  void flush();
  [[noreturn]] void fail_io(const char* what) const;

  std::string path_, temporary_;
  int fd_ = -1;
  uint64_t position_ = 0;          // bytes appended so far, buffered ones included
  std::vector<std::byte> buffer_;  // appended, not yet written
};

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span<const T, 1>(&value, 1));
}

// No output may replace what is read: throws Error(kInvalidUsage) if one is the same file as an
// input or as another output: by device and number, so under any name, through any link. Empty
// paths mean no file. To be called before anything is read or written.
void refuse_overwriting(std::span<const std::string> outputs, std::span<const std::string> inputs);

}  // namespace st

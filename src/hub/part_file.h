// A file that is being downloaded, NAME.DIGEST.part beside what it will become. It stays when a
// download ends early, for another to go on with; under its final name there is all of it or
// nothing.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/stop.h"
#include "hub/digest.h"
#include "hub/folder.h"
#include "hub/listing.h"

namespace st {

inline constexpr std::string_view kPartSuffix = ".part";

// Other bytes under the same name have another one.
std::string part_name(const std::string& name, const HubFile& file);

class PartFile {
 public:
  struct Waits {
    std::function<void()> told;  // called once if another process has the file
    Progress progress;           // while bytes that are there already are read
    const Stop* stop = &Stop::never();
  };
  // Locked as long as it lives: two processes that want the same file take turns. Reads what is
  // there. nullopt if the other one has finished it in the meantime. Throws Error(kIo |
  // kCancelled).
  static std::optional<PartFile> open(const Folder& folder, const std::string& name,
                                      const HubFile& file, const Waits& waits);

  ~PartFile();
  PartFile(PartFile&& other) noexcept;
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  uint64_t size() const { return size_; }
  // Throws Error(kIo), e.g. when the disk is full; Error(kInvalidData) beyond the size of the file.
  void append(std::span<const std::byte> bytes);
  void restart();  // from the first byte
  // Whether the bytes are what the hub promised; then finish(). REQUIRES: all of them.
  bool is_right();
  // Gives it its name, on the disk and not only in memory. Throws Error(kIo).
  void finish();

 private:
  PartFile(const Folder& folder, std::string part, std::string name, const HubFile& file, int fd);
  void read_what_is_there(const Waits& waits);
  [[noreturn]] void fail_io(const char* what) const;

  const Folder* folder_;
  std::string part_, name_;
  uint64_t whole_;  // bytes of the file
  uint64_t size_ = 0;
  int fd_;
  std::unique_ptr<Digest> digest_;
};

// Whether the regular file of that name has the bytes of `file`.
bool has_bytes(const Folder& folder, const std::string& name, const HubFile& file, const Stop& stop,
               const Progress& progress);

}  // namespace st

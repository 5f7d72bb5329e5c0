// Folders that are opened once and worked in by their descriptor, so that nobody can put a link in
// the way: neither they nor the files in them are ever reached through one.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>

namespace st {

class Folder {
 public:
  // The root of what is ours; its path may have links, which are the user's own. Made, for this
  // user alone, if only it is not there. Throws Error(kIo).
  static Folder make(const std::string& path);

  ~Folder();
  Folder(Folder&& other) noexcept;
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  // One in it, made if it is not there. REQUIRES: a single component.
  Folder make_child(const std::string& name) const;

  const std::string& path() const { return path_; }
  std::string path_of(const std::string& name) const { return path_ + "/" + name; }
  int fd() const { return fd_; }

  // Of what has that name, itself; nullopt if nothing has.
  std::optional<struct stat> status(const std::string& name) const;
  // -1 with errno set on failure.
  int open_file(const std::string& name, int flags) const;
  void remove(const std::string& name) const;
  // Throws Error(kIo). The new name survives a power cut.
  void rename(const std::string& from, const std::string& to) const;

  // Bytes that this user may still write on its disk.
  uint64_t free_bytes() const;

 private:
  Folder(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}

  int fd_;
  std::string path_;
};

}  // namespace st

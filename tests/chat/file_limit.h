// A disk that is full at a certain size of a file.
#pragma once

#include <sys/resource.h>

#include <csignal>
#include <cstdint>

namespace st::chats {

// Files of this process may have so many bytes.
class FileLimit {
 public:
  explicit FileLimit(uint64_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit less{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &less);
  }
  ~FileLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

}  // namespace st::chats

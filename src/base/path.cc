#include "base/path.h"

#include "base/error.h"

namespace st {

std::string printable_path(std::string_view path) {
  constexpr size_t kLongest = 4096;  // PATH_MAX of Linux: no file has a longer one
  return printable(path, kLongest);
}

}  // namespace st

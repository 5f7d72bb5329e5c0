#include "base/user_folders.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace st {
namespace {

struct Place {
  const char* variable;
  const char* below_home;
};

Place place_of(UserFolder folder) {
  switch (folder) {
    case UserFolder::kData:
      return {"XDG_DATA_HOME", "/.local/share"};
    case UserFolder::kState:
      return {"XDG_STATE_HOME", "/.local/state"};
    case UserFolder::kCache:
      return {"XDG_CACHE_HOME", "/.cache"};
  }
  return {};
}

// As the specification has it, what is no absolute path does not count.
std::string absolute_path(const char* variable) {
  const char* path = std::getenv(variable);
  return path && *path == '/' ? path : "";
}

}  // namespace

std::string user_folder(UserFolder folder) {
  const Place place = place_of(folder);
  std::string parent = absolute_path(place.variable);
  if (parent.empty()) {
    const std::string home = absolute_path("HOME");
    if (home.empty()) return {};
    parent = home + place.below_home;
  }
  return parent + "/smallthinker";
}

std::string make_user_folder(UserFolder folder) {
  std::string path = user_folder(folder);
  if (path.empty()) {
    fail(ErrorCode::kNotFound, "no folder for your files: neither HOME nor {} is set",
         place_of(folder).variable);
  }
  for (size_t end = path.find('/', 1); true; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (::mkdir(part.c_str(), 0700) != 0 && errno != EEXIST) {
      fail(ErrorCode::kIo, "{}: cannot make the folder: {}", printable_path(part),
           std::strerror(errno));
    }
    if (end == path.npos) return path;
  }
}

}  // namespace st

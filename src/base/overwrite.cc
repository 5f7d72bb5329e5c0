#include "base/overwrite.h"

#include <sys/stat.h>

#include <optional>
#include <tuple>

#include "base/error.h"
#include "base/path.h"

namespace st {
namespace {

// Device, number and, of a file that is not there yet, its name in the folder they are of.
using Identity = std::tuple<dev_t, ino_t, std::string>;

std::optional<Identity> identity(const std::string& path) {
  struct stat info{};
  if (path.empty()) return std::nullopt;
  if (::stat(path.c_str(), &info) == 0) {
    if (!S_ISREG(info.st_mode)) return std::nullopt;  // nothing to lose
    return Identity{info.st_dev, info.st_ino, ""};
  }
  const size_t slash = path.rfind('/');
  const std::string name = path.substr(slash + 1);  // all of it without a slash
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  if (::stat(folder.c_str(), &info) != 0) return std::nullopt;
  return Identity{info.st_dev, info.st_ino, name};
}

}  // namespace

void refuse_overwriting(std::span<const std::string> outputs, std::span<const std::string> inputs) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto output = identity(outputs[i]);
    if (!output) continue;
    for (const std::string& input : inputs) {
      if (identity(input) != output) continue;
      fail(ErrorCode::kInvalidUsage, "{}: is the same file as {}, which is read: write another one",
           printable_path(outputs[i]), printable_path(input));
    }
    for (const std::string& other : outputs.first(i)) {
      if (identity(other) != output) continue;
      fail(ErrorCode::kInvalidUsage, "{}: is the same file as {}, which is written too",
           printable_path(outputs[i]), printable_path(other));
    }
  }
}

}  // namespace st

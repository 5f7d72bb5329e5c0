#include "support/shipped.h"

namespace st::testkit {

std::string shipped(const std::string& path) {
  return ST_SOURCE_DIR "/models/tiny-smallthinker/" + path;
}

}  // namespace st::testkit

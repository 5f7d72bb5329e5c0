#include "support/shipped.h"

namespace st::testkit {

std::string shipped(const std::string& path) { return shipped_model("tiny-smallthinker/" + path); }

std::string shipped_model(const std::string& path) { return ST_SOURCE_DIR "/models/" + path; }

std::string test_data(const std::string& path) { return ST_SOURCE_DIR "/tests/data/" + path; }

}  // namespace st::testkit

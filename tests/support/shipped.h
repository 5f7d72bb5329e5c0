// For tests: the models that are shipped with the sources, and data of tests.
#pragma once

#include <string>

namespace st::testkit {

// The absolute path of `path` within models/tiny-smallthinker.
std::string shipped(const std::string& path);

// The absolute path of `path` within models: "micro-qwen3", which is a folder.
std::string shipped_model(const std::string& path);

// The absolute path of `path` within tests/data.
std::string test_data(const std::string& path);

}  // namespace st::testkit

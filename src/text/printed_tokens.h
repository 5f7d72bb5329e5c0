// What each token of a vocabulary prints as.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/vocab.h"

namespace st {

// Texts end to end in one string, by id. Immutable.
class PrintedTokens {
 public:
  // Throws Error(kInvalidData) if a byte token does not say which.
  explicit PrintedTokens(const Vocab& vocab);

  std::string_view operator[](Token token) const {
    const auto id = static_cast<size_t>(token);
    const size_t begin = id == 0 ? 0 : ends_[id - 1];
    return std::string_view(bytes_).substr(begin, ends_[id] - begin);
  }

 private:
  std::string bytes_;
  std::vector<size_t> ends_;
};

}  // namespace st

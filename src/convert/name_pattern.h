// A regular expression that is looked for in names of tensors.
#pragma once

#include <memory>
#include <string>
#include <string_view>

struct pcre2_real_code_8;

namespace st {

class NamePattern {
 public:
  // Throws Error(kInvalidUsage) for what is none.
  explicit NamePattern(std::string text);

  const std::string& text() const { return text_; }
  bool is_in(std::string_view name) const;

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };
  std::string text_;
  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

}  // namespace st

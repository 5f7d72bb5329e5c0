#include "convert/name_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/error.h"

namespace st {
namespace {

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

struct FreeMatch {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};

}  // namespace

void NamePattern::Free::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

NamePattern::NamePattern(std::string text) : text_(std::move(text)) {
  int error = 0;
  PCRE2_SIZE at = 0;
  code_.reset(pcre2_compile(units(text_), text_.size(), 0, &error, &at, nullptr));
  if (code_ != nullptr) return;
  PCRE2_UCHAR message[120];
  pcre2_get_error_message(error, message, sizeof message);
  fail(ErrorCode::kInvalidUsage, "'{}': not a regular expression: {}, at {}", printable(text_),
       reinterpret_cast<const char*>(message), at);
}

bool NamePattern::is_in(std::string_view name) const {
  const std::unique_ptr<pcre2_match_data, FreeMatch> match(pcre2_match_data_create(1, nullptr));
  return match != nullptr &&
         pcre2_match(code_.get(), units(name), name.size(), 0, 0, match.get(), nullptr) >= 0;
}

}  // namespace st

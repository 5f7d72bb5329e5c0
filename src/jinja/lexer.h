// A template's source as tokens: text to print, and the words between {{ }} and {% %}. White space
// is trimmed as with trim_blocks and lstrip_blocks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/value.h"

namespace st::jinja {

struct Token {
  enum class Kind : uint8_t {
    kData,  // text to print
    kExpressionBegin,
    kExpressionEnd,
    kBlockBegin,
    kBlockEnd,
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd,  // of the template
  };
  Kind kind;
  int line;               // from 1
  std::string_view text;  // of the source: data, a name or an operator
  Value value = {};       // of a string or number
};

// "\n" for each kind of end of a line, and none at the end of the source.
std::string with_plain_lines(std::string_view source);

// `source` is of the kind above. Ends with one kEnd. Throws Error(kInvalidData) "line N: what is
// wrong".
std::vector<Token> read_tokens(std::string_view source);

// The string between the quotes of a literal, its escapes resolved. Throws Error(kInvalidData).
std::string unescape(std::string_view literal);

}  // namespace st::jinja

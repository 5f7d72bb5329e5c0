#include "format/json_object.h"

#include <nlohmann/json.hpp>

#include "format/file_kind.h"

namespace st {

void check_json_object(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  const size_t mark = text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  const size_t first = text.find_first_not_of(" \t\r\n", mark);
  if (first == text.npos || text[first] != '{') fail_wrong_kind("a JSON object", text);
}

nlohmann::json parse_json_object(std::string_view text, std::span<const JsonStream> streams) {
  check_json_object(text);
  return parse_json(text, streams);
}

}  // namespace st

// JSON of the shape {row: {column: cell}}, read as a stream: a hostile file of a hundred megabytes
// costs no more memory than its own text. Both of safetensors' headers have this shape.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace st {

// A string, a list of non-negative integers, or anything else that is no list or object.
using JsonCell = std::variant<std::monostate, std::string, std::vector<uint64_t>>;

class JsonTableSink {
 public:
  virtual ~JsonTableSink() = default;
  virtual void cell(const std::string& row, const std::string& column, JsonCell value) = 0;
  virtual void end_row(const std::string& row) = 0;
};

struct JsonTableLimits {
  static constexpr uint64_t kCells = uint64_t{1} << 19;  // rows count too
  static constexpr size_t kListItems = 8;
};

// Throws Error(kInvalidData) on invalid JSON or UTF-8, any other shape, or duplicate rows or
// columns.
void parse_json_table(std::string_view text, JsonTableSink& sink);

}  // namespace st

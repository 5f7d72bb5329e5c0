#include "format/json_table.h"

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/error.h"

namespace st {
namespace {

class TableParser final : public nlohmann::json::json_sax_t {
 public:
  explicit TableParser(JsonTableSink& sink) : sink_(sink) {}

  bool null() override { return scalar({}); }
  bool boolean(bool) override { return scalar({}); }
  bool number_integer(number_integer_t) override { return scalar({}); }
  bool number_float(number_float_t, const string_t&) override { return scalar({}); }
  bool string(string_t& text) override { return scalar(std::move(text)); }
  bool binary(binary_t&) override { return scalar({}); }  // not in JSON text
  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::kList) return scalar({});
    if (list_.size() == JsonTableLimits::kListItems) {
      bad(fmt::format("more than {} items", JsonTableLimits::kListItems));
    }
    list_.push_back(value);
    return true;
  }

  bool start_object(size_t) override {
    if (place_ == Place::kOutside) {
      place_ = Place::kTable;
    } else if (place_ == Place::kTable) {
      place_ = Place::kRow;
      columns_.clear();
    } else {
      bad("nested too deep");
    }
    return true;
  }
  bool end_object() override {
    if (place_ == Place::kRow) sink_.end_row(row_);
    place_ = place_ == Place::kRow ? Place::kTable : Place::kOutside;
    return true;
  }
  bool start_array(size_t) override {
    if (place_ != Place::kRow) bad("want an object");
    place_ = Place::kList;
    list_.clear();
    return true;
  }
  bool end_array() override {
    place_ = Place::kRow;
    return scalar(std::move(list_));
  }

  bool key(string_t& name) override {
    if (++cells_ > JsonTableLimits::kCells) {
      fail(ErrorCode::kInvalidData, "more than {} keys", JsonTableLimits::kCells);
    }
    const bool in_row = place_ == Place::kRow;
    if (!(in_row ? columns_ : rows_).insert(name).second) {
      fail(ErrorCode::kInvalidData, "duplicate key '{}'", printable(name));
    }
    (in_row ? column_ : row_) = std::move(name);
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    fail(ErrorCode::kInvalidData, "invalid JSON at byte {}", position);
  }

 private:
  enum class Place { kOutside, kTable, kRow, kList };

  bool scalar(JsonCell value) {
    if (place_ == Place::kOutside || place_ == Place::kTable) bad("want an object");
    if (place_ == Place::kList) bad("want non-negative integers");
    sink_.cell(row_, column_, std::move(value));
    return true;
  }

  [[noreturn]] void bad(std::string_view what) const {
    if (place_ == Place::kOutside) fail(ErrorCode::kInvalidData, "{}", what);
    if (place_ == Place::kTable) {
      fail(ErrorCode::kInvalidData, "'{}': {}", printable(row_), what);
    }
    fail(ErrorCode::kInvalidData, "'{}': '{}': {}", printable(row_), printable(column_), what);
  }

  JsonTableSink& sink_;
  Place place_ = Place::kOutside;
  std::string row_, column_;
  std::vector<uint64_t> list_;
  std::set<std::string> rows_, columns_;
  uint64_t cells_ = 0;
};

}  // namespace

void parse_json_table(std::string_view text, JsonTableSink& sink) {
  // The parser takes a zero byte for the end of the text; others would read on.
  if (const size_t zero = text.find('\0'); zero != text.npos) {
    fail(ErrorCode::kInvalidData, "invalid JSON at byte {}", zero + 1);
  }
  TableParser parser(sink);
  nlohmann::json::sax_parse(text, &parser);
}

}  // namespace st

// JSON as values: read from the parser's events, because the order of keys matters here.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "jinja/marks.h"
#include "jinja/refuse.h"
#include "jinja/value.h"

namespace st::jinja {
namespace {

using nlohmann::json;

constexpr size_t kMaxDepth = 64;
constexpr uint64_t kMaxValues = uint64_t{1} << 17;

class Builder final : public json::json_sax_t {
 public:
  explicit Builder(bool trusted) : trusted_(trusted) {}

  Value take() { return std::move(document_); }

  bool null() override { return add(None{}); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(int64_t{value}); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > INT64_MAX) return add_long(std::to_string(value));
    return add(static_cast<int64_t>(value));
  }
  bool number_float(number_float_t value, const string_t& text) override {
    if (text.find_first_of(".eE") == text.npos) return add_long(text);
    return add(double{value});
  }
  bool string(string_t& value) override { return add(marked(value, trusted_)); }
  bool binary(binary_t&) override { return false; }  // not in JSON text
  bool start_object(size_t) override { return begin(true); }
  bool start_array(size_t) override { return begin(false); }
  bool key(string_t& name) override {
    open_.back().keys.push_back(marked(name, trusted_));
    return true;
  }
  bool end_array() override {
    std::vector<Value> items = std::move(open_.back().values);
    open_.pop_back();
    return add(Value::list(std::move(items)));
  }
  bool end_object() override {
    Open object = std::move(open_.back());
    open_.pop_back();
    std::vector<Value::Member> members;
    members.reserve(object.keys.size());
    for (size_t i = 0; i < object.keys.size(); ++i) {
      members.emplace_back(std::move(object.keys[i]), std::move(object.values[i]));
    }
    const size_t size = members.size();
    Dict dict(std::move(members));
    if (dict.size() < size) refuse("JSON with a key twice in one object");
    return add(Value(std::move(dict)));
  }
  bool parse_error(size_t position, const std::string&, const json::exception& e) override {
    if (dynamic_cast<const json::out_of_range*>(&e) != nullptr) {
      refuse("number out of range at byte {}", position);
    }
    refuse("invalid JSON at byte {}", position);
  }

 private:
  struct Open {
    bool object;
    std::vector<Value> keys = {};
    std::vector<Value> values = {};
  };

  bool begin(bool object) {
    if (open_.size() == kMaxDepth) refuse("JSON nested deeper than {}", kMaxDepth);
    open_.push_back({object});
    return true;
  }

  bool add_long(std::string digits) {
    return add(LongInteger{std::make_shared<const std::string>(std::move(digits))});
  }

  bool add(Value value) {
    if (++values_ > kMaxValues) refuse("JSON of more than {} values", kMaxValues);
    (open_.empty() ? document_ : open_.back().values.emplace_back()) = std::move(value);
    return true;
  }

  bool trusted_;
  Value document_;
  std::vector<Open> open_;
  uint64_t values_ = 0;
};

}  // namespace

Value Value::from_json(std::string_view text, bool trusted) {
  // The parser would take a NUL for the end of the text.
  if (const size_t nul = text.find('\0'); nul != text.npos) {
    refuse("invalid JSON at byte {}", nul + 1);
  }
  Builder builder(trusted);
  json::sax_parse(text, &builder);
  return builder.take();
}

}  // namespace st::jinja

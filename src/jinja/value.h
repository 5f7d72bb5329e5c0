// The values of a template: Python's, as far as templates of chats use them. A value is cheap to
// copy and does not change; what several values hold is shared.
//
// A string knows which of its bytes are trusted (text/marked_text.h): those of the template are,
// those of the context are as its maker says, and whatever is made of strings keeps the marks of
// its parts. Numbers, booleans and None print as trusted text, which can spell nothing by itself.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "text/marked_text.h"

namespace st::jinja {

class Dict;
class Object;
class Value;
struct Sequence;

// A string; `markup` if it came out of the filters `safe` or `escape`: what is added to it is then
// escaped for HTML, as in Python.
struct String {
  MarkedText text;
  bool markup = false;
};

// No value, and what was looked for.
struct Undefined {
  std::shared_ptr<const std::string> name;  // may be null

  bool operator==(const Undefined&) const { return true; }
};

struct None {
  bool operator==(const None&) const = default;
};

// An integer of more than 64 bits: printed as it is written, and otherwise refused.
struct LongInteger {
  std::shared_ptr<const std::string> digits;  // perhaps with a minus sign before them

  bool operator==(const LongInteger& other) const { return *digits == *other.digits; }
};

class Value {
 public:
  using Member = std::pair<Value, Value>;

  Value() = default;  // undefined
  Value(None none) : data_(none) {}
  Value(bool value) : data_(value) {}
  Value(int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  Value(LongInteger value) : data_(std::move(value)) {}
  Value(String string);
  Value(MarkedText text) : Value(String{std::move(text), false}) {}
  Value(Sequence sequence);
  Value(Dict dict);
  Value(std::shared_ptr<Object> object) : data_(std::move(object)) {}
  Value(const char*) = delete;  // whose text is it?

  static Value undefined(std::string_view name);
  static Value undefined(std::shared_ptr<const std::string> name) {
    Value value;
    value.data_ = Undefined{std::move(name)};
    return value;
  }
  static Value text(std::string_view bytes, bool trusted);
  static Value list(std::vector<Value> items);
  static Value tuple(std::vector<Value> items);
  static Value iterator(std::vector<Value> items);
  // Of equal keys the last value counts, at the place of the first. Throws Error(kInvalidData) if a
  // key is a list or a dict.
  static Value dict(std::vector<Member> members);

  // A JSON text (UTF-8): the order of keys is kept, 1.0 is a float and 1 an integer. Throws
  // Error(kInvalidData) on syntax errors, duplicate keys, nesting deeper than 64 levels and more
  // than 2^17 values.
  static Value from_json(std::string_view json, bool trusted);

  bool is_undefined() const { return holds<Undefined>(); }
  bool is_none() const { return holds<None>(); }
  bool is_bool() const { return holds<bool>(); }
  bool is_int() const { return holds<int64_t>(); }
  bool is_float() const { return holds<double>(); }
  bool is_long_integer() const { return holds<LongInteger>(); }
  // That can be reckoned with.
  bool is_number() const { return is_bool() || is_int() || is_float(); }
  bool is_string() const { return holds<std::shared_ptr<const String>>(); }
  bool is_sequence() const { return holds<std::shared_ptr<const Sequence>>(); }
  bool is_dict() const { return holds<std::shared_ptr<const Dict>>(); }
  bool is_object() const { return holds<std::shared_ptr<Object>>(); }

  // REQUIRES: that the value is one.
  const Undefined& as_undefined() const { return std::get<Undefined>(data_); }
  bool as_bool() const { return std::get<bool>(data_); }
  int64_t as_int() const { return std::get<int64_t>(data_); }
  double as_float() const { return std::get<double>(data_); }
  const std::string& digits() const { return *std::get<LongInteger>(data_).digits; }
  const String& as_string() const { return *std::get<std::shared_ptr<const String>>(data_); }
  const std::string& bytes() const { return as_string().text.bytes; }
  const Sequence& as_sequence() const { return *std::get<std::shared_ptr<const Sequence>>(data_); }
  const Dict& as_dict() const { return *std::get<std::shared_ptr<const Dict>>(data_); }
  Object& as_object() const { return *std::get<std::shared_ptr<Object>>(data_); }
  // Whether both are the very same list, dict or object.
  bool same_as(const Value& other) const { return data_ == other.data_; }

  // Python's truth: empty strings, lists and dicts, zeros, None and undefined are false.
  bool truth() const;
  // Levels of lists and dicts: 0 if it is neither.
  int depth() const;
  // "str", "list", ...: for messages.
  std::string_view type_name() const;

 private:
  template <typename T>
  bool holds() const {
    return std::holds_alternative<T>(data_);
  }

  std::variant<Undefined, None, bool, int64_t, double, LongInteger, std::shared_ptr<const String>,
               std::shared_ptr<const Sequence>, std::shared_ptr<const Dict>,
               std::shared_ptr<Object>>
      data_;
};

// What can be iterated over and is no string or dict.
struct Sequence {
  enum class Type : uint8_t {
    kList,
    kTuple,
    kRange,
    kKeys,  // of a dict, as are the next two
    kValues,
    kItems,
    kIterator,  // gives each element once
  };
  Type type = Type::kList;
  std::vector<Value> items;
  int depth = 1;             // levels of lists and dicts; set by Value
  std::string shown = {};    // what a range or iterator prints as
  mutable size_t taken = 0;  // elements that an iterator has given

  bool is_list() const { return type == Type::kList; }
  bool is_tuple() const { return type == Type::kTuple; }
  bool is_iterator() const { return type == Type::kIterator; }
};

// A dict: members in their order, found by binary search.
class Dict {
 public:
  Dict() = default;
  explicit Dict(std::vector<Value::Member> members);

  const std::vector<Value::Member>& members() const { return members_; }
  size_t size() const { return members_.size(); }
  // nullptr if there is none. Throws Error(kInvalidData) if `key` is a list or dict.
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  int depth() const { return depth_; }

 private:
  std::vector<Value::Member> members_;
  std::vector<uint32_t> sorted_;  // indices of members_ in the order of their keys
  int depth_ = 1;
};

}  // namespace st::jinja

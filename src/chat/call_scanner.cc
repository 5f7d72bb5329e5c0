#include "chat/call_scanner.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/json.h"

namespace st {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// What a string between quotes stands for; none if it is no JSON string.
std::optional<std::string> unquoted(const std::string& text) {
  if (text.find('\\') == std::string::npos) return text;
  try {
    return parse_json('"' + text + '"').get<std::string>();
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace

JsonExtent::Place JsonExtent::push(char c) {
  constexpr std::string_view kScalars = "-0123456789tfn";
  if (in_string_) {
    if (escaped_) {
      escaped_ = false;
    } else if (c == '\\') {
      escaped_ = true;
    } else if (c == '"') {
      in_string_ = false;
      if (depth_ == 0) return kLast;
    }
    return kInside;
  }
  if (is_scalar_) return is_space(c) || c == ',' || c == '}' ? kBehind : kInside;
  if (c == '"') {
    in_string_ = true;
  } else if (c == '{' || c == '[') {
    ++depth_;
  } else if (!begun_) {
    is_scalar_ = kScalars.find(c) != std::string_view::npos;
    if (!is_scalar_) return kNoValue;
  } else if ((c == '}' || c == ']') && --depth_ == 0) {
    return kLast;
  }
  begun_ = true;
  return kInside;
}

CallScanner::Status CallScanner::string_byte(char c, State next) {
  constexpr size_t kMaxBytes = 256;
  if (c == '"' && !escaped_) {
    state_ = next;
    return next == State::kColon ? key_ended() : name_ended();
  }
  escaped_ = c == '\\' && !escaped_;
  string_ += c;
  return string_.size() > kMaxBytes ? kBroken : kMore;
}

CallScanner::Status CallScanner::key_ended() {
  const auto key = unquoted(std::exchange(string_, {}));
  if (!key || (*key == name_key_ && has_name_) || (*key == arguments_key_ && has_arguments_)) {
    return kBroken;
  }
  key_ = *key;
  return kMore;
}

CallScanner::Status CallScanner::name_ended() {
  const auto name = unquoted(std::exchange(string_, {}));
  if (!name) return kBroken;
  name_ = *name;
  has_name_ = true;
  return kMore;
}

CallScanner::Status CallScanner::value_byte(char c) {
  const JsonExtent::Place place = value_.push(c);
  if (place == JsonExtent::kNoValue) return kBroken;
  state_ = place == JsonExtent::kInside ? State::kInValue : State::kComma;
  if (place == JsonExtent::kBehind) return push(c);
  if (key_ == arguments_key_) {
    arguments_ += c;
    has_arguments_ = true;
  }
  return kMore;
}

CallScanner::Status CallScanner::push(char c) {
  switch (state_) {
    case State::kInKey:
      return string_byte(c, State::kColon);
    case State::kInName:
      return string_byte(c, State::kComma);
    case State::kInValue:
      return value_byte(c);
    default:
      break;
  }
  if (is_space(c)) return kMore;
  switch (state_) {
    case State::kOpen:
      state_ = State::kFirstKey;
      return c == '{' ? kMore : kBroken;
    case State::kFirstKey:
    case State::kKey:
      if (c == '}' && state_ == State::kFirstKey) return kEnd;
      state_ = State::kInKey;
      return c == '"' ? kMore : kBroken;
    case State::kColon:
      state_ = State::kValue;
      return c == ':' ? kMore : kBroken;
    case State::kValue:
      value_ = JsonExtent();
      if (key_ != name_key_) return value_byte(c);
      state_ = State::kInName;
      return c == '"' ? kMore : kBroken;
    default:  // kComma
      if (c == '}') return kEnd;
      state_ = State::kKey;
      return c == ',' ? kMore : kBroken;
  }
}

}  // namespace st

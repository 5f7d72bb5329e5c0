// Reads the JSON object of a tool call a byte at a time, as far as it must be understood: the name,
// and where the arguments begin and end.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace st {

// Where a JSON value ends, judged by its brackets and quotes alone.
class JsonExtent {
 public:
  enum Place { kInside, kLast, kBehind, kNoValue };  // of a byte; behind: the one before was last
  Place push(char c);

 private:
  bool begun_ = false, in_string_ = false, escaped_ = false, is_scalar_ = false;
  int64_t depth_ = 0;
};

class CallScanner {
 public:
  // Keys of the name and the arguments; they outlive this.
  CallScanner(std::string_view name_key, std::string_view arguments_key)
      : name_key_(name_key), arguments_key_(arguments_key) {}

  enum Status {
    kMore,
    kEnd,
    kBroken
  };  // kEnd: with this byte; kBroken: it cannot be such an object
  // REQUIRES: the status was kMore so far.
  Status push(char c);

  bool has_name() const { return has_name_; }
  const std::string& name() const { return name_; }
  bool has_arguments() const { return has_arguments_; }  // at least one byte of them
  // The bytes of the arguments since the last call.
  std::string take_arguments() { return std::exchange(arguments_, {}); }

 private:
  enum class State { kOpen, kFirstKey, kKey, kInKey, kColon, kValue, kInName, kInValue, kComma };

  Status string_byte(char c, State next);
  Status value_byte(char c);
  Status key_ended();
  Status name_ended();

  std::string_view name_key_, arguments_key_;
  State state_ = State::kOpen;
  std::string string_;  // the key or name that is being read, without quotes
  bool escaped_ = false;
  std::string key_;
  JsonExtent value_;
  std::string name_, arguments_;
  bool has_name_ = false, has_arguments_ = false;
};

}  // namespace st

// The bytes of a pickle: opcodes and their arguments. Private to pickle.cc.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/error.h"

namespace st {

// Named as in Python's pickletools.
enum class PickleOpcode : uint8_t {
  kMark = '(',
  kEmptyTuple = ')',
  kStop = '.',
  kBinFloat = 'G',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinUnicode = 'X',
  kEmptyList = ']',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kEmptyDict = '}',
  kProto = 0x80,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kShortBinUnicode = 0x8c,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
};

// A cursor over the pickle. Every failure is an Error(kInvalidData) without a place; the machine
// adds it.
class PickleInput {
 public:
  explicit PickleInput(std::string_view bytes) : bytes_(bytes) {}

  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }

  std::string_view take(uint64_t count) {
    if (count > remaining()) fail(ErrorCode::kInvalidData, "truncated");
    const std::string_view result = bytes_.substr(position_, count);
    position_ += count;
    return result;
  }

  // A little-endian number.
  template <typename T>
  T get() {
    T value;
    take(sizeof(T)).copy(reinterpret_cast<char*>(&value), sizeof(T));
    return value;
  }

  // Up to a newline, which is taken too.
  std::string_view line() {
    const size_t end = bytes_.find('\n', position_);
    if (end == bytes_.npos) fail(ErrorCode::kInvalidData, "truncated");
    const std::string_view result = take(end - position_);
    take(1);
    return result;
  }

  // Two's complement of as many bytes as the first byte says.
  int64_t long_integer() {
    const std::string_view bytes = take(get<uint8_t>());
    if (bytes.size() > sizeof(int64_t)) {
      fail(ErrorCode::kInvalidData, "integer of {} bytes > 8", bytes.size());
    }
    int64_t value = !bytes.empty() && (bytes.back() & 0x80) != 0 ? -1 : 0;
    bytes.copy(reinterpret_cast<char*>(&value), bytes.size());
    return value;
  }

 private:
  std::string_view bytes_;
  size_t position_ = 0;
};

}  // namespace st

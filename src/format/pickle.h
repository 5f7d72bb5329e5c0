// Reads a Python pickle as data.
//
// A pickle is a program for a small stack machine that can call any Python function. This reader
// runs the part of it that torch.save needs for a dict of tensors, protocols 2 to 5, and calls
// nothing: it knows the names of two functions and three classes, and "calling" one only makes a
// value that remembers the name and the arguments.
//
// Values refer to each other by number, so a tree of any depth is built and freed without
// recursion. A value may be shared, and a hostile file may even make it contain itself: walk to a
// known depth.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace st {

enum class PickleKind : uint8_t {
  kNone,
  kBool,
  kInt,
  kFloat,  // its value is not kept
  kString,
  kTuple,
  kList,
  kDict,
  kOrderedDict,  // collections.OrderedDict
  kGlobal,       // a name from the list of those allowed
  kCall,         // a global applied to arguments
  kPersistent,   // a reference to something outside the pickle
};

using PickleRef = uint32_t;

struct PickleValue {
  PickleKind kind = PickleKind::kNone;
  int64_t integer = 0;           // kBool, kInt
  std::string_view text;         // kString; kGlobal and kCall: "module.name"
  std::vector<PickleRef> items;  // kTuple, kList: elements; dicts: key, value, key, value, ...;
                                 // kCall: the tuple of arguments; kPersistent: the id
};

class Pickle {
 public:
  static constexpr uint64_t kMaxBytes = uint64_t{16} << 20;

  // Throws Error(kInvalidData), "pickle: ...". Values keep views into `bytes`.
  explicit Pickle(std::string_view bytes);

  const PickleValue& root() const { return values_[root_]; }
  // REQUIRES: `ref` is an item of a value of this pickle.
  const PickleValue& operator[](PickleRef ref) const { return values_[ref]; }

 private:
  std::vector<PickleValue> values_;
  PickleRef root_ = 0;
};

}  // namespace st

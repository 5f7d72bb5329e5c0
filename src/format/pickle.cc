#include "format/pickle.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace st {
namespace {

constexpr uint32_t kMaxOpcodes = 1 << 21;
constexpr uint32_t kMaxValues = 1 << 19;  // also memo entries; a tensor takes about 17

// ---- Its bytes: opcodes and their arguments ----

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

class PickleStack {
 public:
  using Items = std::vector<PickleRef>;

  PickleValue& operator[](PickleRef ref) { return values_[ref]; }
  std::vector<PickleValue> take_values() { return std::move(values_); }
  bool empty() const { return stack_.empty() && marks_.empty(); }

  // Makes a value and pushes it.
  void push(PickleKind kind, int64_t integer = 0, std::string_view text = {}, Items items = {}) {
    if (values_.size() == kMaxValues) {
      fail(ErrorCode::kInvalidData, "more than {} values", kMaxValues);
    }
    stack_.push_back(static_cast<PickleRef>(values_.size()));
    values_.push_back({kind, integer, text, std::move(items)});
  }

  void mark() { marks_.push_back(stack_.size()); }

  PickleRef top() const {
    need(1);
    return stack_.back();
  }
  PickleRef pop() {
    const PickleRef ref = top();
    stack_.pop_back();
    return ref;
  }
  Items pop_items(size_t count) {
    need(count);
    Items items(stack_.end() - static_cast<ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return items;
  }
  Items pop_to_mark() {
    if (marks_.empty()) fail(ErrorCode::kInvalidData, "stack underflow (no mark)");
    Items items = pop_items(stack_.size() - marks_.back());
    marks_.pop_back();
    return items;
  }

  // Memo entry `index` becomes the top of the stack, which stays.
  void memo_put(uint32_t index) {
    if (index >= kMaxValues) {
      fail(ErrorCode::kInvalidData, "memo index {} >= {}", index, kMaxValues);
    }
    if (index >= memo_.size()) memo_.resize(index + 1, kUnset);
    if (memo_[index] == kUnset) ++memo_used_;
    memo_[index] = top();
  }
  void memo_append() { memo_put(memo_used_); }
  void memo_get(uint32_t index) {
    if (index >= memo_.size() || memo_[index] == kUnset) {
      fail(ErrorCode::kInvalidData, "memo index {} is not set", index);
    }
    stack_.push_back(memo_[index]);
  }

 private:
  static constexpr PickleRef kUnset = UINT32_MAX;

  // What lies below the newest mark is out of reach.
  void need(size_t count) const {
    if (stack_.size() - (marks_.empty() ? 0 : marks_.back()) < count) {
      fail(ErrorCode::kInvalidData, "stack underflow");
    }
  }

  std::vector<PickleValue> values_;
  Items stack_;
  std::vector<size_t> marks_;  // sizes of stack_
  Items memo_;                 // values or kUnset
  uint32_t memo_used_ = 0;
};

// ---- The machine ----

constexpr std::string_view kOrderedDictName = "collections.OrderedDict";
constexpr std::string_view kRebuildTensorName = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view kAllowedGlobals[] = {kOrderedDictName, kRebuildTensorName,
                                                "torch.FloatStorage", "torch.HalfStorage",
                                                "torch.BFloat16Storage"};

bool is_dict(const PickleValue& value) {
  return value.kind == PickleKind::kDict || value.kind == PickleKind::kOrderedDict;
}

class Machine {
 public:
  explicit Machine(std::string_view bytes) : input_(bytes) {}

  // Runs to the end; the result is what remains on the stack.
  PickleRef run() {
    check(input_.remaining() <= Pickle::kMaxBytes, "too large");
    start();
    for (uint32_t steps = 0; steps < kMaxOpcodes; ++steps) {
      opcode_at_ = input_.position();
      const auto opcode = input_.get<PickleOpcode>();
      if (opcode == PickleOpcode::kStop) return finish();
      step(opcode);
    }
    fail(ErrorCode::kInvalidData, "more than {} opcodes", kMaxOpcodes);
  }

  size_t opcode_at() const { return opcode_at_; }
  std::vector<PickleValue> take_values() { return stack_.take_values(); }

 private:
  static void check(bool good, std::string_view otherwise) {
    if (!good) fail(ErrorCode::kInvalidData, "{}", otherwise);
  }

  void start() {
    check(input_.get<PickleOpcode>() == PickleOpcode::kProto, "no protocol number");
    const auto protocol = input_.get<uint8_t>();
    if (protocol < 2 || protocol > 5) {
      fail(ErrorCode::kUnsupported, "protocol {} unsupported (2-5)", protocol);
    }
  }

  PickleRef finish() {
    const PickleRef root = stack_.pop();
    check(stack_.empty(), "values left on the stack");
    check(input_.remaining() == 0, "data after the end");
    return root;
  }

  void step(PickleOpcode opcode) {
    switch (opcode) {
      case PickleOpcode::kFrame:
        return frame();

      case PickleOpcode::kNone:
        return stack_.push(PickleKind::kNone);
      case PickleOpcode::kNewTrue:
        return stack_.push(PickleKind::kBool, 1);
      case PickleOpcode::kNewFalse:
        return stack_.push(PickleKind::kBool, 0);
      case PickleOpcode::kBinInt:
        return stack_.push(PickleKind::kInt, input_.get<int32_t>());
      case PickleOpcode::kBinInt1:
        return stack_.push(PickleKind::kInt, input_.get<uint8_t>());
      case PickleOpcode::kBinInt2:
        return stack_.push(PickleKind::kInt, input_.get<uint16_t>());
      case PickleOpcode::kLong1:
        return stack_.push(PickleKind::kInt, input_.long_integer());
      case PickleOpcode::kBinFloat:
        input_.take(sizeof(double));
        return stack_.push(PickleKind::kFloat);
      case PickleOpcode::kShortBinUnicode:
        return stack_.push(PickleKind::kString, 0, input_.take(input_.get<uint8_t>()));
      case PickleOpcode::kBinUnicode:
        return stack_.push(PickleKind::kString, 0, input_.take(input_.get<uint32_t>()));

      case PickleOpcode::kMark:
        return stack_.mark();
      case PickleOpcode::kEmptyTuple:
        return stack_.push(PickleKind::kTuple);
      case PickleOpcode::kTuple1:
        return push_tuple(stack_.pop_items(1));
      case PickleOpcode::kTuple2:
        return push_tuple(stack_.pop_items(2));
      case PickleOpcode::kTuple3:
        return push_tuple(stack_.pop_items(3));
      case PickleOpcode::kTuple:
        return push_tuple(stack_.pop_to_mark());
      case PickleOpcode::kEmptyList:
        return stack_.push(PickleKind::kList);
      case PickleOpcode::kAppend:
        return append(stack_.pop_items(1));
      case PickleOpcode::kAppends:
        return append(stack_.pop_to_mark());
      case PickleOpcode::kEmptyDict:
        return stack_.push(PickleKind::kDict);
      case PickleOpcode::kSetItem:
        return set_items(stack_.pop_items(2));
      case PickleOpcode::kSetItems:
        return set_items(stack_.pop_to_mark());

      case PickleOpcode::kBinPut:
        return stack_.memo_put(input_.get<uint8_t>());
      case PickleOpcode::kLongBinPut:
        return stack_.memo_put(input_.get<uint32_t>());
      case PickleOpcode::kMemoize:
        return stack_.memo_append();
      case PickleOpcode::kBinGet:
        return stack_.memo_get(input_.get<uint8_t>());
      case PickleOpcode::kLongBinGet:
        return stack_.memo_get(input_.get<uint32_t>());

      case PickleOpcode::kGlobal:
        return global();
      case PickleOpcode::kStackGlobal:
        return stack_global();
      case PickleOpcode::kReduce:
        return reduce();
      case PickleOpcode::kBuild:
        return build();
      case PickleOpcode::kBinPersId:
        return stack_.push(PickleKind::kPersistent, 0, {}, stack_.pop_items(1));

      case PickleOpcode::kProto:  // only at the beginning
      case PickleOpcode::kStop:
        break;
    }
    fail(ErrorCode::kInvalidData, "opcode {:#04x} not allowed", static_cast<unsigned>(opcode));
  }

  // Only a hint how much to read ahead.
  void frame() {
    const auto length = input_.get<uint64_t>();
    check(length <= input_.remaining(), "frame past the end");
  }

  void push_tuple(PickleStack::Items items) {
    stack_.push(PickleKind::kTuple, 0, {}, std::move(items));
  }

  void append(const PickleStack::Items& items) {
    PickleValue& list = stack_[stack_.top()];
    check(list.kind == PickleKind::kList, "append to something that is not a list");
    list.items.insert(list.items.end(), items.begin(), items.end());
  }

  void set_items(const PickleStack::Items& items) {
    PickleValue& dict = stack_[stack_.top()];
    check(is_dict(dict), "item set in something that is not a dict");
    check(items.size() % 2 == 0, "key without a value");
    dict.items.insert(dict.items.end(), items.begin(), items.end());
  }

  void global() {
    const std::string_view module = input_.line();
    push_global(module, input_.line());
  }

  void stack_global() {
    const PickleValue& name = stack_[stack_.pop()];
    const PickleValue& module = stack_[stack_.pop()];
    check(module.kind == PickleKind::kString && name.kind == PickleKind::kString,
          "global not named by strings");
    push_global(module.text, name.text);
  }

  void push_global(std::string_view module, std::string_view name) {
    const std::string full = fmt::format("{}.{}", module, name);
    const auto* allowed = std::ranges::find(kAllowedGlobals, full);
    if (allowed == std::end(kAllowedGlobals)) {
      fail(ErrorCode::kInvalidData, "global '{}' not allowed", printable(full));
    }
    stack_.push(PickleKind::kGlobal, 0, *allowed);
  }

  void reduce() {
    const PickleRef arguments = stack_.pop();
    const PickleValue& callee = stack_[stack_.pop()];
    check(callee.kind == PickleKind::kGlobal, "call of something that is not a function");
    check(stack_[arguments].kind == PickleKind::kTuple, "call with arguments that are no tuple");
    if (callee.text == kRebuildTensorName) {
      stack_.push(PickleKind::kCall, 0, callee.text, {arguments});
    } else if (callee.text == kOrderedDictName && stack_[arguments].items.empty()) {
      stack_.push(PickleKind::kOrderedDict);
    } else {
      fail(ErrorCode::kInvalidData, "call of '{}' not allowed", callee.text);
    }
  }

  // torch modules attach version notes to their OrderedDict, of no use here. Nothing else may have
  // attributes.
  void build() {
    const PickleValue& state = stack_[stack_.pop()];
    check(is_dict(state) && stack_[stack_.top()].kind == PickleKind::kOrderedDict,
          "attributes not allowed");
  }

  PickleInput input_;
  size_t opcode_at_ = 0;
  PickleStack stack_;
};

}  // namespace

Pickle::Pickle(std::string_view bytes) {
  Machine machine(bytes);
  try {
    root_ = machine.run();
  } catch (const Error& e) {
    throw Error(e.code(), fmt::format("pickle: {} at offset {}", e.what(), machine.opcode_at()));
  }
  values_ = machine.take_values();
}

}  // namespace st

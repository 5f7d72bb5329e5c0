#include "format/pickle.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"
#include "format/pickle_input.h"
#include "format/pickle_stack.h"

namespace st {
namespace {

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
    check(input_.remaining() <= PickleLimits::kBytes, "too large");
    start();
    for (uint32_t steps = 0; steps < PickleLimits::kOpcodes; ++steps) {
      opcode_at_ = input_.position();
      const auto opcode = input_.get<PickleOpcode>();
      if (opcode == PickleOpcode::kStop) return finish();
      step(opcode);
    }
    fail(ErrorCode::kInvalidData, "more than {} opcodes", PickleLimits::kOpcodes);
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

#include "jinja/predicates.h"

#include <algorithm>
#include <array>
#include <utility>

#include "jinja/characters.h"
#include "jinja/compare.h"
#include "jinja/filters.h"
#include "jinja/operators.h"
#include "jinja/render.h"
#include "jinja/text_of.h"

namespace st::jinja {
namespace {

using Check = bool (*)(const Value& value);

// A test without arguments.
template <Check check>
bool alone(Render&, const Value& input, const Arguments& arguments) {
  const Parameters none("test", arguments, {});
  return check(input);
}

template <ComparisonOperator op>
bool compared(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters parameters("test", arguments, {"other"});
  return apply(op, input, parameters.required(0), render.budget());
}

bool same_as(Render&, const Value& input, const Arguments& arguments) {
  const Parameters parameters("sameas", arguments, {"other"});
  const Value& other = parameters.required(0);
  if (input.is_string() && other.is_string()) return input.bytes() == other.bytes();
  return input.same_as(other);
}

bool leaves_nothing(Render& render, const Value& input, const Value& divisor) {
  const Value rest = apply(BinaryOperator::kModulo, input, divisor, render.budget());
  return equal(rest, int64_t{0}, render.budget());
}

bool divisible_by(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters parameters("divisibleby", arguments, {"num"});
  return leaves_nothing(render, input, parameters.required(0));
}

bool even(Render& render, const Value& input, const Arguments&) {
  return leaves_nothing(render, input, int64_t{2});
}

bool odd(Render& render, const Value& input, const Arguments&) {
  const Value rest = apply(BinaryOperator::kModulo, input, int64_t{2}, render.budget());
  return equal(rest, int64_t{1}, render.budget());
}

bool is_filter(Render&, const Value& input, const Arguments&) {
  return input.is_string() && find_filter(input.bytes()) != nullptr;
}

bool is_test(Render&, const Value& input, const Arguments&) {
  return input.is_string() && find_test(input.bytes()) != nullptr;
}

// str.islower() and str.isupper() of the text of any value.
template <bool upper>
bool in_case(Render& render, const Value& input, const Arguments&) {
  return is_in_case(text_of(input, render.budget()).bytes, upper);
}

bool sequence(const Value& value) {
  if (value.is_undefined() || value.is_string() || value.is_dict()) return true;
  if (!value.is_sequence()) return false;
  const Sequence& list = value.as_sequence();
  return list.is_list() || list.is_tuple() || list.type == Sequence::Type::kRange;
}

constexpr auto kTests = std::to_array<std::pair<std::string_view, Test>>({
    {"!=", compared<ComparisonOperator::kUnequal>},
    {"<", compared<ComparisonOperator::kLess>},
    {"<=", compared<ComparisonOperator::kLessEqual>},
    {"==", compared<ComparisonOperator::kEqual>},
    {">", compared<ComparisonOperator::kGreater>},
    {">=", compared<ComparisonOperator::kGreaterEqual>},
    {"boolean", alone<[](const Value& v) { return v.is_bool(); }>},
    {"callable", alone<[](const Value& v) {
       return v.is_undefined() || (v.is_object() && v.as_object().callable());
     }>},
    {"defined", alone<[](const Value& v) { return !v.is_undefined(); }>},
    {"divisibleby", divisible_by},
    {"eq", compared<ComparisonOperator::kEqual>},
    {"equalto", compared<ComparisonOperator::kEqual>},
    {"escaped", alone<[](const Value& v) { return v.is_string() && v.as_string().markup; }>},
    {"even", even},
    {"false", alone<[](const Value& v) { return v.is_bool() && !v.as_bool(); }>},
    {"filter", is_filter},
    {"float", alone<[](const Value& v) { return v.is_float(); }>},
    {"ge", compared<ComparisonOperator::kGreaterEqual>},
    {"greaterthan", compared<ComparisonOperator::kGreater>},
    {"gt", compared<ComparisonOperator::kGreater>},
    {"in", compared<ComparisonOperator::kIn>},
    {"integer", alone<[](const Value& v) { return v.is_int() || v.is_long_integer(); }>},
    {"iterable", alone<[](const Value& v) {
       return v.is_undefined() || v.is_string() || v.is_dict() || v.is_sequence();
     }>},
    {"le", compared<ComparisonOperator::kLessEqual>},
    {"lessthan", compared<ComparisonOperator::kLess>},
    {"lower", in_case<false>},
    {"lt", compared<ComparisonOperator::kLess>},
    {"mapping", alone<[](const Value& v) { return v.is_dict(); }>},
    {"ne", compared<ComparisonOperator::kUnequal>},
    {"none", alone<[](const Value& v) { return v.is_none(); }>},
    {"number", alone<[](const Value& v) { return v.is_number() || v.is_long_integer(); }>},
    {"odd", odd},
    {"sameas", same_as},
    {"sequence", alone<sequence>},
    {"string", alone<[](const Value& v) { return v.is_string(); }>},
    {"test", is_test},
    {"true", alone<[](const Value& v) { return v.is_bool() && v.as_bool(); }>},
    {"undefined", alone<[](const Value& v) { return v.is_undefined(); }>},
    {"upper", in_case<true>},
});

}  // namespace

Test find_test(std::string_view name) {
  const auto found = std::ranges::find(kTests, name, &std::pair<std::string_view, Test>::first);
  return found == kTests.end() ? nullptr : found->second;
}

}  // namespace st::jinja

#include "jinja/operators.h"

#include <cmath>

#include "jinja/compare.h"
#include "jinja/format.h"
#include "jinja/marks.h"
#include "jinja/object.h"

namespace st::jinja {
namespace {

bool is_whole(const Value& value) { return value.is_int() || value.is_bool(); }
int64_t whole(const Value& value) { return value.is_bool() ? value.as_bool() : value.as_int(); }
double real(const Value& value) {
  return value.is_float() ? value.as_float() : static_cast<double>(whole(value));
}

std::string_view sign_of(BinaryOperator op) {
  constexpr std::string_view kSigns[] = {"+", "-", "*", "/", "//", "%", "**"};
  return kSigns[static_cast<size_t>(op)];
}

int64_t fits(bool overflow, int64_t value) {
  if (overflow) refuse("an integer has more than 64 bits");
  return value;
}

int64_t product(int64_t a, int64_t b) {
  int64_t value = 0;
  const bool overflow = __builtin_mul_overflow(a, b, &value);
  return fits(overflow, value);
}

int64_t power(int64_t base, int64_t exponent) {
  int64_t value = 1;
  while (exponent > 0) {
    if (exponent % 2 == 1) value = product(value, base);
    exponent /= 2;
    if (exponent > 0) base = product(base, base);
  }
  return value;
}

Value of_whole(BinaryOperator op, int64_t a, int64_t b) {
  int64_t value = 0;
  switch (op) {
    case BinaryOperator::kAdd: {
      const bool overflow = __builtin_add_overflow(a, b, &value);
      return fits(overflow, value);
    }
    case BinaryOperator::kSubtract: {
      const bool overflow = __builtin_sub_overflow(a, b, &value);
      return fits(overflow, value);
    }
    case BinaryOperator::kMultiply:
      return product(a, b);
    case BinaryOperator::kDivide:
      return static_cast<double>(a) / static_cast<double>(b);
    case BinaryOperator::kFloorDivide:
      if (b == -1) return of_whole(BinaryOperator::kSubtract, 0, a);
      return a / b - (a % b != 0 && (a < 0) != (b < 0));
    case BinaryOperator::kModulo:
      if (b == -1) return int64_t{0};
      return a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0);
    case BinaryOperator::kPower:
      break;
  }
  if (b < 0) return std::pow(static_cast<double>(a), static_cast<double>(b));
  return power(a, b);
}

Value of_real(BinaryOperator op, double a, double b) {
  switch (op) {
    case BinaryOperator::kAdd:
      return a + b;
    case BinaryOperator::kSubtract:
      return a - b;
    case BinaryOperator::kMultiply:
      return a * b;
    case BinaryOperator::kDivide:
      return a / b;
    case BinaryOperator::kPower:
      return std::pow(a, b);
    default:
      break;
  }
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  if (op == BinaryOperator::kModulo) return rest == 0 ? std::copysign(0.0, b) : rest;
  return std::round((a - rest) / b);
}

Value of_numbers(BinaryOperator op, const Value& left, const Value& right) {
  const bool divides = op == BinaryOperator::kDivide || op == BinaryOperator::kFloorDivide ||
                       op == BinaryOperator::kModulo;
  const bool inverts = op == BinaryOperator::kPower && real(left) == 0 && real(right) < 0;
  if ((divides && real(right) == 0) || inverts) refuse("division by zero");
  if (is_whole(left) && is_whole(right)) return of_whole(op, whole(left), whole(right));
  return of_real(op, real(left), real(right));
}

Value joined(const String& left, const String& right, Budget& budget) {
  budget.text(left.text);
  budget.text(right.text);
  const bool markup = left.markup || right.markup;
  String sum{left.text, markup};
  if (markup && !left.markup) sum.text = escaped_for_html(left.text, budget);
  append(sum.text, markup && !right.markup ? escaped_for_html(right.text, budget) : right.text);
  return sum;
}

Value joined(const Sequence& left, const Sequence& right, Budget& budget) {
  budget.new_list(left.items.size() + right.items.size());
  Sequence sum{.type = left.type, .items = left.items};
  sum.items.insert(sum.items.end(), right.items.begin(), right.items.end());
  return sum;
}

// Refuses a product of sizes before it is made.
uint64_t repeated_size(size_t size, int64_t times) {
  uint64_t total = 0;
  if (times <= 0) return 0;
  if (__builtin_mul_overflow(uint64_t{size}, static_cast<uint64_t>(times), &total)) {
    return UINT64_MAX;
  }
  return total;
}

Value repeated(const Value& value, int64_t times, Budget& budget) {
  if (value.is_string()) {
    const String& string = value.as_string();
    budget.bytes(repeated_size(string.text.bytes.size(), times));
    budget.items(repeated_size(string.text.runs.size(), times));
    String product{{}, string.markup};
    if (!string.text.bytes.empty()) {
      for (int64_t i = 0; i < times; ++i) append(product.text, string.text);
    }
    return product;
  }
  const Sequence& sequence = value.as_sequence();
  budget.new_list(repeated_size(sequence.items.size(), times));
  Sequence product{.type = sequence.type};
  if (!sequence.items.empty()) {
    for (int64_t i = 0; i < times; ++i) {
      product.items.insert(product.items.end(), sequence.items.begin(), sequence.items.end());
    }
  }
  return product;
}

bool is_list_or_tuple(const Value& value) {
  return value.is_sequence() && (value.as_sequence().is_list() || value.as_sequence().is_tuple());
}

}  // namespace

Value apply(BinaryOperator op, const Value& left, const Value& right, Budget& budget) {
  if (left.is_number() && right.is_number()) return of_numbers(op, left, right);
  const bool strings = left.is_string() && right.is_string();
  if (op == BinaryOperator::kAdd && strings) {
    return joined(left.as_string(), right.as_string(), budget);
  }
  if (op == BinaryOperator::kModulo && left.is_string()) {
    return percent_format(left.as_string(), right, budget);
  }
  if (left.is_undefined()) refuse_undefined(left);
  if (right.is_undefined()) refuse_undefined(right);
  if (left.is_long_integer() || right.is_long_integer()) {
    refuse("an integer has more than 64 bits");
  }
  if (op == BinaryOperator::kAdd && is_list_or_tuple(left) && is_list_or_tuple(right) &&
      left.as_sequence().type == right.as_sequence().type) {
    return joined(left.as_sequence(), right.as_sequence(), budget);
  }
  if (op == BinaryOperator::kMultiply) {
    const auto repeats = [](const Value& value) {
      return value.is_string() || is_list_or_tuple(value);
    };
    if (repeats(left) && is_whole(right)) return repeated(left, whole(right), budget);
    if (repeats(right) && is_whole(left)) return repeated(right, whole(left), budget);
  }
  refuse("'{}' {} '{}' has no value", left.type_name(), sign_of(op), right.type_name());
}

bool apply(ComparisonOperator op, const Value& left, const Value& right, Budget& budget) {
  switch (op) {
    case ComparisonOperator::kEqual:
      return equal(left, right, budget);
    case ComparisonOperator::kUnequal:
      return !equal(left, right, budget);
    case ComparisonOperator::kLess:
      return order(left, right, budget) < 0;
    case ComparisonOperator::kLessEqual:
      return order(left, right, budget) <= 0;
    case ComparisonOperator::kGreater:
      return order(left, right, budget) > 0;
    case ComparisonOperator::kGreaterEqual:
      return order(left, right, budget) >= 0;
    case ComparisonOperator::kIn:
      return contains(right, left, budget);
    case ComparisonOperator::kNotIn:
      break;
  }
  return !contains(right, left, budget);
}

Value negative(const Value& value) {
  if (value.is_float()) return -value.as_float();
  if (value.is_undefined()) refuse_undefined(value);
  if (!is_whole(value)) refuse("-'{}' has no value", value.type_name());
  return of_whole(BinaryOperator::kSubtract, 0, whole(value));
}

Value positive(const Value& value) {
  if (value.is_float()) return value;
  if (value.is_undefined()) refuse_undefined(value);
  if (!is_whole(value)) refuse("+'{}' has no value", value.type_name());
  return whole(value);
}

Value truncated(double number) {
  constexpr double kBeyond = 9223372036854775808.0;  // 2^63
  if (!(number >= -kBeyond && number < kBeyond)) refuse("an integer has more than 64 bits");
  return static_cast<int64_t>(number);
}

MarkedText escaped_for_html(const MarkedText& text, Budget& budget) {
  budget.text(text);
  MarkedText out;
  MarkedReader reader(text);
  while (reader.left() > 0) {
    constexpr std::string_view kSpecial = "&<>\"'";
    constexpr std::string_view kEntities[] = {"&amp;", "&lt;", "&gt;", "&#34;", "&#39;"};
    const size_t here = reader.position();
    const size_t next = std::min(text.bytes.find_first_of(kSpecial, here), text.bytes.size());
    reader.take(next - here, out);
    if (reader.left() == 0) break;
    out.append(kEntities[kSpecial.find(text.bytes[next])], reader.skip(1));
  }
  return out;
}

}  // namespace st::jinja

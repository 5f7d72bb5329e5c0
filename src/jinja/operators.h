// Arithmetic and comparisons of values, as in Python. Everything here throws Error(kInvalidData)
// for operands of the wrong kinds, integers beyond 64 bits, division by zero.
#pragma once

#include "jinja/budget.h"
#include "jinja/value.h"

namespace st::jinja {

enum class BinaryOperator { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };
enum class ComparisonOperator {
  kEqual,
  kUnequal,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

Value apply(BinaryOperator op, const Value& left, const Value& right, Budget& budget);
bool apply(ComparisonOperator op, const Value& left, const Value& right, Budget& budget);
Value negative(const Value& value);
Value positive(const Value& value);
// The integer towards zero.
Value truncated(double number);

// `text` for HTML: & < > " ' as entities.
MarkedText escaped_for_html(const MarkedText& text, Budget& budget);

}  // namespace st::jinja

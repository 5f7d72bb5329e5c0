// Which values are equal, and which comes first, as Python has it.
#pragma once

#include <compare>

#include "jinja/budget.h"
#include "jinja/value.h"

namespace st::jinja {

// 1 == 1.0 == true; lists and dicts by their elements.
bool equal(const Value& a, const Value& b, Budget& budget);

// Numbers, strings, lists and tuples. Throws Error(kInvalidData) for other values, and for two of
// different kinds. Unordered: one is not a number.
std::partial_ordering order(const Value& a, const Value& b, Budget& budget);

// Whether `container` has `element`; for a string: as a part. Throws Error(kInvalidData) if nothing
// can be in it.
bool contains(const Value& container, const Value& element, Budget& budget);

// Throws Error(kInvalidData) if a value cannot be the key of a dict.
void check_key(const Value& key);

// The order in which a Dict keeps its keys: total, and alike for keys that are equal. Throws
// Error(kInvalidData) for a list or dict.
std::strong_ordering order_of_keys(const Value& a, const Value& b);

}  // namespace st::jinja

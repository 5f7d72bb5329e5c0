#include "jinja/compare.h"

#include <algorithm>
#include <cmath>

#include "jinja/object.h"

namespace st::jinja {
namespace {

// Holds every int64_t and every double.
using Wide = long double;

Wide wide(const Value& number) {
  if (number.is_float()) return number.as_float();
  return static_cast<Wide>(number.is_int() ? number.as_int() : int64_t{number.as_bool()});
}

bool equal_items(const Sequence& a, const Sequence& b, Budget& budget) {
  if (a.type != b.type || a.is_iterator() || a.items.size() != b.items.size()) return false;
  budget.items(a.items.size());
  return std::ranges::equal(a.items, b.items,
                            [&](const Value& x, const Value& y) { return equal(x, y, budget); });
}

bool equal_members(const Dict& a, const Dict& b, Budget& budget) {
  if (a.size() != b.size()) return false;
  return std::ranges::all_of(a.members(), [&](const Value::Member& member) {
    budget.steps(1);
    const Value* other = b.find(member.first);
    return other != nullptr && equal(member.second, *other, budget);
  });
}

int rank_of_key(const Value& key) {
  if (key.is_number()) return key.is_float() && std::isnan(key.as_float()) ? 0 : 1;
  if (key.is_string()) return 2;
  if (key.is_none()) return 3;
  if (key.is_sequence() && key.as_sequence().is_tuple()) return 4;
  if (key.is_sequence() && key.as_sequence().type == Sequence::Type::kRange) return 7;
  if (key.is_undefined()) return 5;
  if (key.is_long_integer()) return 6;
  refuse("'{}' cannot be a key", key.type_name());
}

}  // namespace

bool equal(const Value& a, const Value& b, Budget& budget) {
  budget.steps(1);
  if (a.is_number() && b.is_number()) return wide(a) == wide(b);
  if (a.is_string() && b.is_string()) {
    budget.bytes(a.bytes().size());
    return a.bytes() == b.bytes();
  }
  if (a.same_as(b)) return true;
  if (a.is_sequence() && b.is_sequence()) {
    return equal_items(a.as_sequence(), b.as_sequence(), budget);
  }
  if (a.is_dict() && b.is_dict()) return equal_members(a.as_dict(), b.as_dict(), budget);
  return false;
}

std::partial_ordering order(const Value& a, const Value& b, Budget& budget) {
  budget.steps(1);
  if (a.is_number() && b.is_number()) return wide(a) <=> wide(b);
  if (a.is_string() && b.is_string()) {
    budget.bytes(a.bytes().size());
    return a.bytes().compare(b.bytes()) <=> 0;  // of UTF-8: that of the code points
  }
  if (a.is_sequence() && b.is_sequence() && a.as_sequence().type == b.as_sequence().type &&
      (a.as_sequence().is_list() || a.as_sequence().is_tuple())) {
    const auto& left = a.as_sequence().items;
    const auto& right = b.as_sequence().items;
    for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
      if (!equal(left[i], right[i], budget)) return order(left[i], right[i], budget);
    }
    return left.size() <=> right.size();
  }
  if (a.is_undefined() || b.is_undefined()) refuse_undefined(a.is_undefined() ? a : b);
  refuse("'{}' and '{}' have no order", a.type_name(), b.type_name());
}

bool contains(const Value& container, const Value& element, Budget& budget) {
  if (container.is_undefined()) return false;
  if (container.is_string()) {
    if (!element.is_string()) {
      refuse("'in' of a string wants a string on its left, not '{}'", element.type_name());
    }
    budget.bytes(container.bytes().size());
    return container.bytes().find(element.bytes()) != std::string::npos;
  }
  if (container.is_dict()) return container.as_dict().find(element) != nullptr;
  if (container.is_sequence()) {
    const Sequence& sequence = container.as_sequence();
    for (size_t i = sequence.taken; i < sequence.items.size(); ++i) {
      if (sequence.is_iterator()) sequence.taken = i + 1;
      if (equal(sequence.items[i], element, budget)) return true;
    }
    return false;
  }
  refuse("nothing is 'in' a value of type '{}'", container.type_name());
}

void check_key(const Value& key) { rank_of_key(key); }

std::strong_ordering order_of_keys(const Value& a, const Value& b) {
  const int rank = rank_of_key(a);
  if (const auto ranks = rank <=> rank_of_key(b); ranks != 0) return ranks;
  if (rank == 1) {
    return wide(a) < wide(b)   ? std::strong_ordering::less
           : wide(a) > wide(b) ? std::strong_ordering::greater
                               : std::strong_ordering::equal;
  }
  if (rank == 6) return a.digits().compare(b.digits()) <=> 0;
  if (rank == 2) return a.bytes().compare(b.bytes()) <=> 0;
  if (rank == 4 || rank == 7) {
    const auto& left = a.as_sequence().items;
    const auto& right = b.as_sequence().items;
    for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
      if (const auto first = order_of_keys(left[i], right[i]); first != 0) return first;
    }
    return left.size() <=> right.size();
  }
  return std::strong_ordering::equal;
}

}  // namespace st::jinja

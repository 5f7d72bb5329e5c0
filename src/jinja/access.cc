#include "jinja/access.h"

#include <algorithm>
#include <optional>

#include "jinja/characters.h"
#include "jinja/marks.h"
#include "jinja/methods.h"
#include "jinja/object.h"
#include "jinja/refuse.h"
#include "jinja/render.h"
#include "jinja/text_of.h"

namespace st::jinja {
namespace {

// An index of Python: from the end if it is negative. Empty if it is outside.
std::optional<size_t> place(const Value& index, size_t size) {
  if (!index.is_int() && !index.is_bool()) return std::nullopt;
  int64_t i = index.is_bool() ? index.as_bool() : index.as_int();
  const auto count = static_cast<int64_t>(size);
  if (i < 0) i += count;
  if (i < 0 || i >= count) return std::nullopt;
  return static_cast<size_t>(i);
}

std::optional<Value> character_of(const String& string, const Value& index, Budget& budget) {
  const std::string_view bytes = string.text.bytes;
  budget.text(string.text);
  const auto i = place(index, count_characters(bytes));
  if (!i) return std::nullopt;
  const size_t begin = bytes_of_characters(bytes, *i);
  return String{part(string.text, begin, character_at(bytes, begin).size), string.markup};
}

// A list, tuple or range.
bool is_indexed(const Value& object) {
  if (!object.is_sequence()) return false;
  const Sequence& sequence = object.as_sequence();
  return sequence.is_list() || sequence.is_tuple() || sequence.type == Sequence::Type::kRange;
}

std::optional<Value> element_of(const Value& object, const Value& index, Budget& budget) {
  if (object.is_dict()) {
    const bool key = index.depth() == 0 || (index.is_sequence() && index.as_sequence().is_tuple());
    const Value* value = key ? object.as_dict().find(index) : nullptr;
    if (value == nullptr) return std::nullopt;
    return *value;
  }
  if (object.is_string()) return character_of(object.as_string(), index, budget);
  if (!is_indexed(object)) return std::nullopt;
  const Sequence& sequence = object.as_sequence();
  const auto i = place(index, sequence.items.size());
  if (!i) return std::nullopt;
  return sequence.items[*i];
}

// The indices of a slice, as Python's slice.indices() has them.
struct Bounds {
  int64_t begin, end, step;

  int64_t count() const {
    if (step > 0) return begin < end ? (end - begin - 1) / step + 1 : 0;
    return begin > end ? (begin - end - 1) / -step + 1 : 0;
  }
};

Bounds bounds_of(const Value& begin, const Value& end, const Value& step, size_t size) {
  for (const Value* bound : {&begin, &end, &step}) {
    if (bound->is_none() || bound->is_int() || bound->is_bool()) continue;
    refuse("a slice wants integers, not '{}'", bound->type_name());
  }
  const auto number = [](const Value& bound, int64_t fallback) {
    return bound.is_none() ? fallback : bound.is_bool() ? bound.as_bool() : bound.as_int();
  };
  const auto count = static_cast<int64_t>(size);
  Bounds bounds{0, 0, std::max<int64_t>(number(step, 1), -INT64_MAX)};
  if (bounds.step == 0) refuse("a slice with step 0");
  const bool forward = bounds.step > 0;
  const int64_t low = forward ? 0 : -1, high = forward ? count : count - 1;
  const auto clamped = [&](const Value& bound, int64_t fallback) {
    if (bound.is_none()) return fallback;
    int64_t i = number(bound, 0);
    if (i < 0) i = i < -count ? low : i + count;
    return std::clamp(i, low, high);
  };
  bounds.begin = clamped(begin, forward ? 0 : count - 1);
  bounds.end = clamped(end, forward ? count : -1);
  return bounds;
}

Value part_of_string(const String& string, const Bounds& bounds, Budget& budget) {
  const std::string_view bytes = string.text.bytes;
  const auto count = static_cast<size_t>(bounds.count());
  if (count == 0) return String{{}, string.markup};
  if (bounds.step == 1) {
    const size_t begin = bytes_of_characters(bytes, static_cast<size_t>(bounds.begin));
    const size_t size = bytes_of_characters(bytes.substr(begin), count);
    return String{part(string.text, begin, size), string.markup};
  }
  budget.items(bytes.size());
  const std::vector<MarkedText> characters = split_characters(string.text);
  String picked{{}, string.markup};
  for (size_t k = 0; k < count; ++k) {
    const int64_t i = bounds.begin + static_cast<int64_t>(k) * bounds.step;
    append(picked.text, characters[static_cast<size_t>(i)]);
  }
  return picked;
}

}  // namespace

Value attribute_of(Render& render, const Value& object, std::string_view name) {
  if (object.is_undefined()) refuse_undefined(object);
  if (const auto method = find_method(object, name)) return *method;
  if (object.is_object()) {
    if (auto value = object.as_object().attribute(render, name)) return *value;
  }
  if (object.is_dict()) {
    if (const Value* value = object.as_dict().find(name)) return *value;
  }
  return Value::undefined(name);
}

Value item_of(Render& render, const Value& object, const Value& index) {
  if (object.is_undefined()) refuse_undefined(object);
  if (auto element = element_of(object, index, render.budget())) return *element;
  if (index.is_string() && !object.is_dict()) return attribute_of(render, object, index.bytes());
  if (index.is_string()) {
    if (const auto method = find_method(object, index.bytes())) return *method;
    return Value::undefined(index.bytes());
  }
  return Value::undefined(text_of(index, render.budget()).bytes.substr(0, 40));
}

Value slice_of(const Value& object, const Value& begin, const Value& end, const Value& step,
               Budget& budget) {
  if (object.is_undefined()) refuse_undefined(object);
  if (object.is_string()) {
    const String& string = object.as_string();
    budget.text(string.text);
    const Bounds bounds = bounds_of(begin, end, step, count_characters(string.text.bytes));
    return part_of_string(string, bounds, budget);
  }
  if (!is_indexed(object)) refuse("'{}' cannot be sliced", object.type_name());
  const Sequence& sequence = object.as_sequence();
  const Bounds bounds = bounds_of(begin, end, step, sequence.items.size());
  const auto count = static_cast<size_t>(bounds.count());
  budget.new_list(count);
  Sequence picked{.type = sequence.type, .shown = sequence.shown};
  picked.items.reserve(count);
  for (size_t k = 0; k < count; ++k) {
    const int64_t i = bounds.begin + static_cast<int64_t>(k) * bounds.step;
    picked.items.push_back(sequence.items[static_cast<size_t>(i)]);
  }
  return picked;
}

Elements::Elements(const Value& value, Budget& budget) : value_(value) {
  if (value.is_undefined()) return;
  if (value.is_dict()) {
    budget.new_list(value.as_dict().size());
    for (const auto& [key, item] : value.as_dict().members()) own_.push_back(key);
  } else if (value.is_string()) {
    budget.text(value.as_string().text);
    budget.new_list(count_characters(value.bytes()));
    for (MarkedText& character : split_characters(value.as_string().text)) {
      own_.push_back(std::move(character));
    }
  } else if (value.is_sequence()) {
    const Sequence& sequence = value.as_sequence();
    items_ = &sequence.items;
    if (!sequence.is_iterator()) return;
    if (sequence.taken > 0) {
      own_.assign(sequence.items.begin() + static_cast<std::ptrdiff_t>(sequence.taken),
                  sequence.items.end());
      items_ = nullptr;
    }
    sequence.taken = sequence.items.size();
  } else {
    refuse("'{}' cannot be iterated over", value.type_name());
  }
}

int64_t length_of(const Value& value, Budget& budget) {
  if (value.is_undefined()) return 0;
  if (value.is_string()) {
    budget.text(value.as_string().text);
    return static_cast<int64_t>(count_characters(value.bytes()));
  }
  if (value.is_dict()) return static_cast<int64_t>(value.as_dict().size());
  const bool sized = value.is_sequence() && !value.as_sequence().is_iterator();
  if (!sized) refuse("'{}' has no length", value.type_name());
  return static_cast<int64_t>(value.as_sequence().items.size());
}

std::vector<Value::Member> pairs_of(Render& render, const Value& value, std::string_view callee) {
  if (value.is_dict()) {
    render.budget().new_list(value.as_dict().size());
    return value.as_dict().members();
  }
  std::vector<Value::Member> members;
  for (const Value& pair : Elements(value, render.budget())) {
    const Elements parts(pair, render.budget());
    if (parts.size() != 2) refuse("{}: wants pairs of a key and a value", callee);
    members.emplace_back(parts.items()[0], parts.items()[1]);
  }
  return members;
}

}  // namespace st::jinja

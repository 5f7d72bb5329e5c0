#include "jinja/value.h"

#include <algorithm>
#include <numeric>

#include "jinja/compare.h"
#include "jinja/marks.h"
#include "jinja/object.h"
#include "jinja/refuse.h"

namespace st::jinja {
namespace {

constexpr int kMaxDepth = 100;

// Levels of what holds `items`.
int depth_above(int deepest) {
  if (deepest >= kMaxDepth) refuse("lists and dicts nested deeper than {}", kMaxDepth);
  return deepest + 1;
}

}  // namespace

Value::Value(String string) : data_(std::make_shared<const String>(std::move(string))) {}

Value::Value(Sequence sequence) {
  int deepest = 0;
  for (const Value& item : sequence.items) deepest = std::max(deepest, item.depth());
  sequence.depth = depth_above(deepest);
  data_ = std::make_shared<const Sequence>(std::move(sequence));
}

Value::Value(Dict dict) : data_(std::make_shared<const Dict>(std::move(dict))) {}

Value Value::undefined(std::string_view name) {
  return undefined(std::make_shared<const std::string>(name));
}

Value Value::text(std::string_view bytes, bool trusted) { return marked(bytes, trusted); }

Value Value::list(std::vector<Value> items) { return Sequence{.items = std::move(items)}; }

Value Value::tuple(std::vector<Value> items) {
  return Sequence{.type = Sequence::Type::kTuple, .items = std::move(items)};
}

Value Value::iterator(std::vector<Value> items) {
  return Sequence{
      .type = Sequence::Type::kIterator, .items = std::move(items), .shown = "<iterator>"};
}

Value Value::dict(std::vector<Member> members) { return Dict(std::move(members)); }

bool Value::truth() const {
  if (is_bool()) return as_bool();
  if (is_int()) return as_int() != 0;
  if (is_float()) return as_float() != 0;
  if (is_string()) return !bytes().empty();
  if (is_sequence()) return as_sequence().is_iterator() || !as_sequence().items.empty();
  if (is_dict()) return as_dict().size() > 0;
  return is_object() || is_long_integer();
}

int Value::depth() const {
  return is_sequence() ? as_sequence().depth : is_dict() ? as_dict().depth() : 0;
}

std::string_view Value::type_name() const {
  if (is_undefined()) return "undefined";
  if (is_none()) return "None";
  if (is_bool()) return "bool";
  if (is_int() || is_long_integer()) return "int";
  if (is_float()) return "float";
  if (is_string()) return "str";
  if (is_dict()) return "dict";
  if (is_object()) return as_object().type_name();
  switch (as_sequence().type) {
    case Sequence::Type::kList:
      return "list";
    case Sequence::Type::kTuple:
      return "tuple";
    case Sequence::Type::kRange:
      return "range";
    case Sequence::Type::kKeys:
      return "dict_keys";
    case Sequence::Type::kValues:
      return "dict_values";
    case Sequence::Type::kItems:
      return "dict_items";
    case Sequence::Type::kIterator:
      break;
  }
  return "iterator";
}

Dict::Dict(std::vector<Value::Member> members) : members_(std::move(members)) {
  int deepest = 0;
  for (const auto& [key, value] : members_) deepest = std::max(deepest, value.depth());
  depth_ = depth_above(deepest);
  sorted_.resize(members_.size());
  std::iota(sorted_.begin(), sorted_.end(), 0u);
  std::ranges::stable_sort(sorted_, [&](uint32_t a, uint32_t b) {
    return order_of_keys(members_[a].first, members_[b].first) < 0;
  });
  if (members_.size() == 1) check_key(members_[0].first);

  // Of a run of equal keys the first stays, with the last one's value.
  std::vector<bool> repeated(members_.size());
  bool any = false;
  for (size_t i = 1, first = 0; i < sorted_.size(); ++i) {
    if (order_of_keys(members_[sorted_[first]].first, members_[sorted_[i]].first) != 0) {
      first = i;
      continue;
    }
    members_[sorted_[first]].second = members_[sorted_[i]].second;
    any = repeated[sorted_[i]] = true;
  }
  if (!any) return;
  std::vector<Value::Member> kept;
  for (size_t i = 0; i < members_.size(); ++i) {
    if (!repeated[i]) kept.push_back(std::move(members_[i]));
  }
  *this = Dict(std::move(kept));
}

const Value* Dict::find(const Value& key) const {
  check_key(key);
  const auto at = std::ranges::lower_bound(
      sorted_, key, [](const Value& a, const Value& b) { return order_of_keys(a, b) < 0; },
      [&](uint32_t i) -> const Value& { return members_[i].first; });
  if (at == sorted_.end() || order_of_keys(members_[*at].first, key) != 0) return nullptr;
  return &members_[*at].second;
}

const Value* Dict::find(std::string_view key) const { return find(Value::text(key, true)); }

}  // namespace st::jinja

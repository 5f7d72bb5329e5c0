#include "jinja/loop.h"

#include "jinja/compare.h"
#include "jinja/refuse.h"
#include "jinja/render.h"

namespace st::jinja {
std::optional<Value> Loop::fetch() {
  while (at_ < elements_.size()) {
    const Value& element = elements_.items()[at_++];
    if (!condition_ || condition_(element)) return element;
  }
  return std::nullopt;
}

std::optional<Value> Loop::next() {
  std::optional<Value> element = after_ ? std::exchange(after_, std::nullopt) : fetch();
  if (!element) return std::nullopt;
  ++index_;
  previous_ = std::exchange(current_, element);
  return element;
}

const std::optional<Value>& Loop::peek() {
  if (!after_) after_ = fetch();
  return after_;
}

// Decides about all the elements that are left, if there is a condition.
int64_t Loop::length() {
  if (length_) return *length_;
  if (condition_) {
    std::vector<Value> rest;
    while (auto element = fetch()) rest.push_back(std::move(*element));
    length_ = static_cast<int64_t>(rest.size()) + index_ + 1 + after_.has_value();
    elements_ = Elements(std::move(rest));
    at_ = 0;
    condition_ = nullptr;
  } else {
    length_ = static_cast<int64_t>(elements_.size());
  }
  return *length_;
}

void Loop::end() {
  at_ = elements_.size();
  condition_ = nullptr;
  recursive_ = nullptr;
  last_changed_.reset();
  ended_ = true;
}

std::optional<Value> Loop::attribute(Render&, std::string_view name) {
  if (name == "index0") return index_;
  if (name == "index") return index_ + 1;
  if (name == "first") return index_ == 0;
  if (name == "last") return !peek().has_value();
  if (name == "length") return length();
  if (name == "revindex") return length() - index_;
  if (name == "revindex0") return length() - index_ - 1;
  if (name == "depth0") return int64_t{depth_};
  if (name == "depth") return int64_t{depth_} + 1;
  if (name == "previtem") return previous_ ? *previous_ : Value::undefined("loop.previtem");
  if (name == "nextitem") return peek() ? *peek() : Value::undefined("loop.nextitem");
  return std::nullopt;
}

Value Loop::call(Render& render, const Arguments& arguments) {
  if (recursive_ == nullptr) refuse("a loop without 'recursive' cannot be called");
  const Parameters parameters("loop", arguments, {"iterable"});
  return render.deeper([&]() -> Value {
    return render.capture(
        [&] { recursive_->run_over(render, parameters.required(0), depth_ + 1); });
  });
}

Value Loop::cycle(const Arguments& arguments) const {
  if (arguments.positional.empty()) refuse("loop.cycle: no values");
  return arguments.positional[static_cast<size_t>(index_) % arguments.positional.size()];
}

bool Loop::changed(Render& render, const Arguments& arguments) {
  Value values = Value::tuple(arguments.positional);
  if (last_changed_ && equal(*last_changed_, values, render.budget())) return false;
  if (!ended_) last_changed_ = std::move(values);  // which may hold this very loop
  return true;
}

}  // namespace st::jinja

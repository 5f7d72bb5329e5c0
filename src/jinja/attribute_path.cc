#include "jinja/attribute_path.h"

#include <algorithm>
#include <charconv>

#include "jinja/access.h"
#include "jinja/render.h"
#include "jinja/strings.h"

namespace st::jinja {

AttributePath::AttributePath(Render& render, const Value& path, Value fallback)
    : render_(render), fallback_(std::move(fallback)) {
  if (path.is_undefined() || path.is_none()) return;
  if (!path.is_string()) {
    steps_.push_back(path);
    return;
  }
  for (MarkedText& step : split(path.as_string().text, ".", -1, render.budget())) {
    const std::string& text = step.bytes;
    int64_t index = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
    const bool digits = !text.empty() && text[0] != '-' && end == text.data() + text.size();
    steps_.push_back(digits && error == std::errc() ? Value(index) : Value(std::move(step)));
  }
}

Value AttributePath::of(const Value& element) const {
  Value value = element;
  for (const Value& step : steps_) {
    render_.budget().steps(1);
    value = item_of(render_, value, step);
    const bool use_fallback =
        value.is_undefined() && !fallback_.is_undefined() && !fallback_.is_none();
    if (use_fallback) value = fallback_;
  }
  return value;
}

Value without_case(Render& render, const Value& value) {
  if (!value.is_string()) return value;
  return in_case(value.as_string().text, Case::kLower, render.budget());
}

}  // namespace st::jinja

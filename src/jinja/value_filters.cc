// Filters of numbers, of what is absent, and JSON.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

#include "jinja/access.h"
#include "jinja/characters.h"
#include "jinja/filters.h"
#include "jinja/marks.h"
#include "jinja/methods.h"
#include "jinja/number_text.h"
#include "jinja/operators.h"
#include "jinja/render.h"
#include "jinja/text_of.h"

namespace st::jinja {
namespace {

Value fallback(Render&, const Value& input, const Arguments& arguments) {
  const Parameters parameters("default", arguments, {"default_value", "boolean"});
  const bool replace = input.is_undefined() || (parameters.truth(1, false) && !input.truth());
  return replace ? parameters.value(0, MarkedText{}) : input;
}

Value attr(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters parameters("attr", arguments, {"name"});
  const std::string& name = parameters.string(0).text.bytes;
  if (input.is_undefined()) refuse_undefined(input);
  if (const auto method = find_method(input, name)) return *method;
  return input.is_object() ? attribute_of(render, input, name) : Value::undefined(name);
}

Value abs(Render&, const Value& input, const Arguments& arguments) {
  const Parameters none("abs", arguments, {});
  if (input.is_float()) return std::abs(input.as_float());
  const bool below_zero = input.is_int() && input.as_int() < 0;
  return below_zero ? negative(input) : positive(input);
}

std::string_view without_spaces(std::string_view text) {
  text.remove_prefix(spaces_on_left(text));
  text.remove_suffix(spaces_on_right(text));
  return text;
}

// As int(text, base) reads it.
std::optional<int64_t> parse_int(std::string_view text, int base) {
  std::string digits;
  const bool minus = text.starts_with('-');
  if (minus || text.starts_with('+')) text.remove_prefix(1);
  const char mark = base == 16 ? 'x' : base == 8 ? 'o' : base == 2 ? 'b' : '\0';
  if (mark != '\0' && text.size() > 2 && text[0] == '0' && (text[1] | 0x20) == mark) {
    text.remove_prefix(2);
  }
  for (size_t i = 0; i < text.size(); ++i) {
    const bool between = text[i] == '_' && i > 0 && text[i - 1] != '_' && i + 1 < text.size();
    if (!between) digits += text[i];
  }
  uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (digits.empty() || end != digits.data() + digits.size()) return std::nullopt;
  if (error != std::errc() || value > INT64_MAX) refuse("int: more than 64 bits");
  return minus ? -static_cast<int64_t>(value) : static_cast<int64_t>(value);
}

Value to_int(Render&, const Value& input, const Arguments& arguments) {
  const Parameters parameters("int", arguments, {"default", "base"});
  const int64_t base = parameters.integer(1, 10);
  if (base < 2 || base > 36) refuse("int: base {}, want 2..36", base);
  if (input.is_undefined()) refuse_undefined(input);
  if (input.is_float()) return truncated(input.as_float());
  if (input.is_number()) return positive(input);
  if (!input.is_string()) return parameters.value(0, int64_t{0});
  const std::string_view text = without_spaces(input.bytes());
  if (const auto value = parse_int(text, static_cast<int>(base))) return *value;
  if (const auto value = parse_float(text)) {
    if (std::isnan(*value)) return parameters.value(0, int64_t{0});
    return truncated(*value);
  }
  return parameters.value(0, int64_t{0});
}

Value to_float(Render&, const Value& input, const Arguments& arguments) {
  const Parameters parameters("float", arguments, {"default"});
  if (input.is_undefined()) refuse_undefined(input);
  if (input.is_float()) return input;
  if (input.is_int()) return static_cast<double>(input.as_int());
  if (input.is_bool()) return input.as_bool() ? 1.0 : 0.0;
  if (input.is_string()) {
    if (const auto value = parse_float(without_spaces(input.bytes()))) return *value;
  }
  return parameters.value(0, 0.0);
}

Value round(Render&, const Value& input, const Arguments& arguments) {
  const Parameters parameters("round", arguments, {"precision", "method"});
  const int64_t precision = parameters.integer(0, 0);
  const std::string method = parameters.has(1) ? parameters.string(1).text.bytes : "common";
  if (input.is_undefined()) refuse_undefined(input);
  if (!input.is_number()) refuse("round: wants a number, not '{}'", input.type_name());
  if (precision < -20 || precision > 300) refuse("round: precision {}, want -20..300", precision);
  const double value =
      input.is_float() ? input.as_float() : static_cast<double>(positive(input).as_int());
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method == "ceil") return std::ceil(value * scale) / scale;
  if (method == "floor") return std::floor(value * scale) / scale;
  if (method != "common")
    refuse("round: method '{}', want common, ceil or floor", printable(method));
  if (!input.is_float() && precision >= 0) return positive(input);
  const double rounded = precision >= 0 && std::isfinite(value)
                             ? *parse_float(fmt::format("{:.{}f}", value, precision))
                             : std::nearbyint(value * scale) / scale;
  return input.is_float() ? Value(rounded) : truncated(rounded);
}

Value filesizeformat(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters parameters("filesizeformat", arguments, {"binary"});
  const Value number = to_float(render, input, {{None{}}});
  if (!number.is_float()) refuse("filesizeformat: wants a number");
  const bool binary = parameters.truth(0, false);
  const double bytes = number.as_float(), base = binary ? 1024 : 1000;
  if (bytes == 1) return Value::text("1 Byte", true);
  if (bytes < base) return Value::text(fmt::format("{} Bytes", truncated(bytes).as_int()), true);
  constexpr std::string_view kPrefixes = "kMGTPEZY";
  double unit = base;
  size_t i = 0;
  for (; i + 1 < kPrefixes.size() && bytes >= unit * base; ++i) unit *= base;
  const char prefix = binary && i == 0 ? 'K' : kPrefixes[i];
  return Value::text(fmt::format("{:.1f} {}{}", bytes / unit, prefix, binary ? "iB" : "B"), true);
}

Value tojson(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters parameters("tojson", arguments,
                              {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonLayout layout{.ensure_ascii = parameters.truth(0, false),
                    .sort_keys = parameters.truth(3, false)};
  const Value indent = parameters.value(1, None{});
  layout.indented = !indent.is_none();
  if (indent.is_string()) {
    layout.indent = indent.as_string().text;
  } else if (layout.indented) {
    const int64_t width = std::max<int64_t>(parameters.integer(1, 0), 0);
    render.budget().bytes(static_cast<uint64_t>(width));
    layout.indent = marked(std::string(static_cast<size_t>(width), ' '), true);
  }
  layout.item_separator = marked(layout.indented ? "," : ", ", true);
  layout.key_separator = marked(": ", true);
  if (const Value separators = parameters.value(2, None{}); !separators.is_none()) {
    const Elements pair(separators, render.budget());
    if (pair.size() != 2 || !pair.items()[0].is_string() || !pair.items()[1].is_string()) {
      refuse("tojson: separators are two strings");
    }
    layout.item_separator = pair.items()[0].as_string().text;
    layout.key_separator = pair.items()[1].as_string().text;
  }
  return json_of(input, layout, render.budget());
}

constexpr auto kFilters = std::to_array<NamedFilter>({
    {"abs", abs},
    {"attr", attr},
    {"d", fallback},
    {"default", fallback},
    {"filesizeformat", filesizeformat},
    {"float", to_float},
    {"int", to_int},
    {"round", round},
    {"tojson", tojson},
});

}  // namespace

const std::span<const NamedFilter> kValueFilters = kFilters;

}  // namespace st::jinja

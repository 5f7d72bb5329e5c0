#include "jinja/format.h"

#include <charconv>

#include "jinja/access.h"
#include "jinja/characters.h"
#include "jinja/marks.h"
#include "jinja/operators.h"
#include "jinja/render.h"
#include "jinja/text_of.h"

namespace st::jinja {
namespace {

constexpr size_t kMaxWidth = 1'000'000;

// Digits at `at`, which it passes: 0 if there are none.
size_t read_number(std::string_view text, size_t& at) {
  size_t value = 0;
  const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range || value > kMaxWidth) {
    refuse("format: a number of more than {}", kMaxWidth);
  }
  at = static_cast<size_t>(end - text.data());
  return value;
}

MarkedText cut_to_precision(const MarkedText& text, int precision) {
  if (precision < 0) return text;
  return part(text, 0, bytes_of_characters(text.bytes, static_cast<size_t>(precision)));
}

class PercentFormat {
 public:
  PercentFormat(const String& format, const Value& values, Budget& budget)
      : format_(format), values_(values), budget_(budget) {
    several_ = values.is_sequence() && values.as_sequence().is_tuple();
  }

  MarkedText run() {
    const std::string_view bytes = format_.text.bytes;
    budget_.text(format_.text);
    MarkedReader reader(format_.text);
    while (true) {
      const size_t percent = std::min(bytes.find('%', reader.position()), bytes.size());
      reader.take(percent - reader.position(), out_);
      if (percent == bytes.size()) break;
      const size_t end = conversion(percent + 1);
      const bool trusted = reader.skip(end - percent);
      if (bytes[end - 1] == '%') out_.append("%", trusted);
    }
    const size_t count = several_ ? values_.as_sequence().items.size() : 1;
    // As in CPython, where a list passes for a dict.
    const bool by_name = values_.is_dict() || (values_.is_sequence() && !several_);
    if (used_ < count && !by_name) refuse("'%': not all values are used");
    return std::move(out_);
  }

 private:
  // Prints what the conversion behind a percent sign says, but for "%%"; where it ends.
  size_t conversion(size_t at) {
    const std::string_view bytes = format_.text.bytes;
    std::optional<Value> named;
    if (at < bytes.size() && bytes[at] == '(') {
      const size_t close = bytes.find(')', at);
      if (close == bytes.npos || !values_.is_dict()) refuse("'%(': wants a name and a dict");
      const std::string_view name = bytes.substr(at + 1, close - at - 1);
      const Value* value = values_.as_dict().find(name);
      if (value == nullptr) refuse("'%({})': there is no such value", printable(name, 60));
      named = *value;
      at = close + 1;
    }
    const Layout layout = read_layout(at);
    if (layout.type == '%') return at;
    print(named ? *named : next_value(), layout);
    return at;
  }

  Layout read_layout(size_t& at) const {
    const std::string_view bytes = format_.text.bytes;
    Layout layout;
    bool left = false, zeros = false;
    for (; at < bytes.size() && std::string_view("-+ #0").find(bytes[at]) != bytes.npos; ++at) {
      left = left || bytes[at] == '-';
      zeros = zeros || bytes[at] == '0';
      layout.alternate = layout.alternate || bytes[at] == '#';
      if (bytes[at] == '+' || (bytes[at] == ' ' && layout.sign == '-')) layout.sign = bytes[at];
    }
    layout.width = read_number(bytes, at);
    if (at < bytes.size() && bytes[at] == '.') {
      ++at;
      layout.precision = static_cast<int>(read_number(bytes, at));
    }
    while (at < bytes.size() && std::string_view("hlL").find(bytes[at]) != bytes.npos) ++at;
    if (at == bytes.size()) refuse("'%': a conversion is cut short");
    layout.type = bytes[at++];
    const bool number = std::string_view("sra").find(layout.type) == bytes.npos;
    layout.align = left ? '<' : zeros && number ? '=' : '>';
    if (layout.align == '=') layout.fill = '0';
    return layout;
  }

  Value next_value() {
    if (!several_ && used_ == 0) {
      ++used_;
      return values_;
    }
    if (!several_ || used_ == values_.as_sequence().items.size()) refuse("'%': too few values");
    return values_.as_sequence().items[used_++];
  }

  void print(const Value& value, Layout layout) {
    if (std::string_view("sr").find(layout.type) != std::string_view::npos) {
      MarkedText text = layout.type == 's' ? text_of(value, budget_) : shown_value(value, budget_);
      const bool markup = value.is_string() && value.as_string().markup;
      if (format_.markup && !markup) text = escaped_for_html(text, budget_);
      return append(out_, laid_out_text(cut_to_precision(text, layout.precision), layout, budget_));
    }
    if (std::string_view("diuxXoeEfFgG").find(layout.type) == std::string_view::npos) {
      refuse("'%': unknown conversion '{}'", printable({&layout.type, 1}));
    }
    const bool whole = std::string_view("diu").find(layout.type) != std::string_view::npos;
    if (whole) layout.type = 'd';
    append(out_, laid_out_number(whole && value.is_float() ? truncated(value.as_float()) : value,
                                 layout, budget_));
  }

  const String& format_;
  const Value& values_;
  Budget& budget_;
  bool several_;
  size_t used_ = 0;  // values
  MarkedText out_;
};

class BraceFormat {
 public:
  BraceFormat(Render& render, const String& format, const Arguments& arguments)
      : render_(render), format_(format), arguments_(arguments) {}

  MarkedText run() {
    const std::string_view bytes = format_.text.bytes;
    render_.budget().text(format_.text);
    MarkedReader reader(format_.text);
    while (true) {
      const size_t brace = std::min(bytes.find_first_of("{}", reader.position()), bytes.size());
      reader.take(brace - reader.position(), out_);
      if (brace == bytes.size()) return std::move(out_);
      if (bytes.substr(brace + 1).starts_with(bytes[brace])) {  // a brace that is doubled
        reader.take(1, out_);
        reader.skip(1);
        continue;
      }
      const size_t end = bytes.find('}', brace);
      if (bytes[brace] == '}' || end == bytes.npos) refuse("format: a brace without its other");
      field(bytes.substr(brace + 1, end - brace - 1));
      reader.skip(end + 1 - brace);
    }
  }

 private:
  // name!conversion:layout
  void field(std::string_view text) {
    if (text.find('{') != text.npos) refuse("format: fields within fields are not supported");
    const size_t colon = std::min(text.find(':'), text.size());
    std::string_view name = text.substr(0, colon);
    const std::string_view layout = colon < text.size() ? text.substr(colon + 1) : "";
    char conversion = '\0';
    if (name.size() >= 2 && name[name.size() - 2] == '!') {
      conversion = name.back();
      name.remove_suffix(2);
    }
    Value value = find(name);
    if (conversion == 'r') {
      value = shown_value(value, render_.budget());
    } else if (conversion == 's') {
      value = text_of(value, render_.budget());
    } else if (conversion != '\0') {
      refuse("format: unknown conversion '{}'", printable({&conversion, 1}));
    }
    print(value, layout);
  }

  // The argument, and then attributes and elements of it.
  Value find(std::string_view path) {
    size_t at = std::min(path.find_first_of(".["), path.size());
    Value value = argument(path.substr(0, at));
    while (at < path.size()) {
      if (path[at] == '.') {
        const size_t end = std::min(path.find_first_of(".[", at + 1), path.size());
        value = attribute_of(render_, value, path.substr(at + 1, end - at - 1));
        at = end;
        continue;
      }
      const size_t close = path.find(']', at);
      if (path[at] != '[' || close == path.npos) refuse("format: '[' without ']'");
      const std::string_view index = path.substr(at + 1, close - at - 1);
      int64_t number = 0;
      const auto [end, error] = std::from_chars(index.data(), index.data() + index.size(), number);
      const bool digits = error == std::errc() && end == index.data() + index.size();
      value = item_of(render_, value, digits ? Value(number) : Value::text(index, true));
      at = close + 1;
    }
    return value;
  }

  Value argument(std::string_view name) {
    size_t number = next_;
    size_t end = 0;
    if (name.empty()) {
      ++next_;
    } else {
      number = read_number(name, end);
    }
    if (end == name.size()) {
      if (number >= arguments_.positional.size()) refuse("format: there is no argument {}", number);
      return arguments_.positional[number];
    }
    for (const auto& [known, value] : arguments_.named) {
      if (known == name) return value;
    }
    refuse("format: there is no argument '{}'", printable(name, 60));
  }

  void print(const Value& value, std::string_view spec) {
    Budget& budget = render_.budget();
    Layout layout = read_layout(spec);
    layout.trusted = all_trusted(format_.text);
    const bool number = value.is_number() && layout.type != 's' && !spec.empty();
    if (number) return append(out_, laid_out_number(value, layout, budget));
    if (!spec.empty() && (!value.is_string() || (layout.type != 's' && layout.type != '\0'))) {
      refuse("format: '{}' does not fit '{}'", printable(spec, 40), value.type_name());
    }
    MarkedText text = text_of(value, budget);
    const bool markup = value.is_string() && value.as_string().markup;
    if (format_.markup && !markup) text = escaped_for_html(text, budget);
    append(out_, laid_out_text(cut_to_precision(text, layout.precision), layout, budget));
  }

  // [[fill]align][sign][#][0][width][group][.precision][type]
  static Layout read_layout(std::string_view spec) {
    constexpr std::string_view kAligns = "<>=^";
    Layout layout;
    size_t at = 0;
    const auto is = [&](size_t i, std::string_view set) {
      return i < spec.size() && set.find(spec[i]) != set.npos;
    };
    const size_t first = spec.empty() ? 0 : character_at(spec, 0).size;
    if (is(first, kAligns)) {
      layout.fill = character_at(spec, 0).code;
      layout.align = spec[first];
      at = first + 1;
    } else if (is(0, kAligns)) {
      layout.align = spec[at++];
    }
    if (is(at, "+- ")) layout.sign = spec[at++];
    if (is(at, "#")) layout.alternate = at++ < spec.size();
    if (is(at, "0") && layout.align == '\0') {
      layout.fill = '0';
      layout.align = '=';
    }
    layout.width = read_number(spec, at);
    if (is(at, ",_")) layout.group = spec[at++];
    if (is(at, ".")) layout.precision = static_cast<int>(read_number(spec, ++at));
    if (is(at, "sdxXobeEfFgG%")) layout.type = spec[at++];
    if (at < spec.size()) refuse("format: cannot read '{}'", printable(spec, 40));
    return layout;
  }

  Render& render_;
  const String& format_;
  const Arguments& arguments_;
  size_t next_ = 0;  // argument without a number
  MarkedText out_;
};

}  // namespace

Value percent_format(const String& format, const Value& values, Budget& budget) {
  return String{PercentFormat(format, values, budget).run(), format.markup};
}

Value format_method(Render& render, const Value& self, const Arguments& arguments) {
  return String{BraceFormat(render, self.as_string(), arguments).run(), self.as_string().markup};
}

}  // namespace st::jinja

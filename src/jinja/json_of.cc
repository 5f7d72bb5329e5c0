#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "jinja/characters.h"
#include "jinja/compare.h"
#include "jinja/marks.h"
#include "jinja/number_text.h"
#include "jinja/text_of.h"

namespace st::jinja {
namespace {

class Writer {
 public:
  Writer(const JsonLayout& layout, Budget& budget) : layout_(layout), budget_(budget) {}

  void value(const Value& value) {
    budget_.steps(1);
    if (value.is_string()) {
      string(value.as_string().text);
    } else if (value.is_sequence()) {
      list(value.as_sequence());
    } else if (value.is_dict()) {
      dict(value.as_dict());
    } else {
      mark(scalar(value));
    }
  }

  MarkedText take() { return std::move(out_); }

 private:
  void mark(std::string_view text) { out_.append(text, true); }

  static std::string scalar(const Value& value) {
    if (value.is_none()) return "null";
    if (value.is_bool()) return value.as_bool() ? "true" : "false";
    if (value.is_int()) return fmt::format("{}", value.as_int());
    if (value.is_long_integer()) return value.digits();
    if (!value.is_float()) refuse("tojson: '{}' is nothing in JSON", value.type_name());
    const double number = value.as_float();
    if (std::isnan(number)) return "NaN";
    if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
    return float_text(number);
  }

  void string(const MarkedText& text) {
    budget_.text(text);
    mark("\"");
    MarkedReader reader(text);
    while (reader.left() > 0) {
      const Character character = character_at(text.bytes, reader.position());
      const std::string escape = escaped(character.code);
      if (escape.empty()) {
        reader.take(character.size, out_);
      } else {
        out_.append(escape, reader.skip(character.size));
      }
    }
    mark("\"");
  }

  // Empty if the character stands for itself.
  std::string escaped(char32_t code) const {
    switch (code) {
      case '"':
        return "\\\"";
      case '\\':
        return "\\\\";
      case '\n':
        return "\\n";
      case '\r':
        return "\\r";
      case '\t':
        return "\\t";
      case '\f':
        return "\\f";
      case '\b':
        return "\\b";
      default:
        break;
    }
    auto number = static_cast<uint32_t>(code);
    if (number >= 0x20 && (number < 0x7F || !layout_.ensure_ascii)) return {};
    if (number == 0x7F) return {};
    if (number < 0x10000) return fmt::format("\\u{:04x}", number);
    number -= 0x10000;
    return fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (number >> 10), 0xDC00 + (number & 0x3FF));
  }

  void list(const Sequence& sequence) {
    if (!sequence.is_list() && !sequence.is_tuple()) {
      refuse("tojson: '{}' is nothing in JSON", Value(sequence).type_name());
    }
    if (sequence.items.empty()) return mark("[]");
    mark("[");
    ++level_;
    bool first = true;
    for (const Value& item : sequence.items) {
      separate(first);
      value(item);
    }
    --level_;
    new_line();
    mark("]");
  }

  void dict(const Dict& dict) {
    if (dict.size() == 0) return mark("{}");
    mark("{");
    ++level_;
    bool first = true;
    for (const Value::Member* member : in_order(dict)) {
      separate(first);
      key(member->first);
      append(out_, layout_.key_separator);
      value(member->second);
    }
    --level_;
    new_line();
    mark("}");
  }

  std::vector<const Value::Member*> in_order(const Dict& dict) {
    std::vector<const Value::Member*> members;
    for (const Value::Member& member : dict.members()) members.push_back(&member);
    if (layout_.sort_keys) {
      std::ranges::stable_sort(members, [&](const auto* a, const auto* b) {
        return order(a->first, b->first, budget_) < 0;
      });
    }
    return members;
  }

  void key(const Value& key) {
    if (key.is_string()) return string(key.as_string().text);
    mark("\"");
    mark(scalar(key));
    mark("\"");
  }

  void separate(bool& first) {
    if (!first) append(out_, layout_.item_separator);
    first = false;
    new_line();
  }

  void new_line() {
    if (!layout_.indented) return;
    budget_.bytes(layout_.indent.bytes.size() * static_cast<size_t>(level_));
    mark("\n");
    for (int i = 0; i < level_; ++i) append(out_, layout_.indent);
  }

  const JsonLayout& layout_;
  Budget& budget_;
  MarkedText out_;
  int level_ = 0;
};

}  // namespace

MarkedText json_of(const Value& value, const JsonLayout& layout, Budget& budget) {
  Writer writer(layout, budget);
  writer.value(value);
  return writer.take();
}

}  // namespace st::jinja

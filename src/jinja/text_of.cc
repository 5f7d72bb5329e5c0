#include "jinja/text_of.h"

#include <fmt/format.h>

#include "jinja/characters.h"
#include "jinja/marks.h"
#include "jinja/number_text.h"
#include "jinja/object.h"

namespace st::jinja {
namespace {

class Shown {
 public:
  explicit Shown(Budget& budget) : budget_(budget) {}

  void value(const Value& value) {
    budget_.steps(1);
    if (value.is_string()) {
      string(value.as_string());
    } else if (value.is_sequence()) {
      sequence(value.as_sequence());
    } else if (value.is_dict()) {
      dict(value.as_dict());
    } else {
      mark(scalar(value));
    }
  }

  // What is no string, list or dict.
  static std::string scalar(const Value& value) {
    if (value.is_none()) return "None";
    if (value.is_bool()) return value.as_bool() ? "True" : "False";
    if (value.is_int()) return fmt::format("{}", value.as_int());
    if (value.is_float()) return float_text(value.as_float());
    if (value.is_long_integer()) return value.digits();
    if (value.is_object()) return value.as_object().shown();
    return "Undefined";
  }

  MarkedText take() { return std::move(out_); }

 private:
  void mark(std::string_view text) { out_.append(text, true); }

  void string(const String& string) {
    const MarkedText& text = string.text;
    budget_.text(text);
    const bool doubled =
        text.bytes.find('\'') != text.bytes.npos && text.bytes.find('"') == text.bytes.npos;
    const char quote = doubled ? '"' : '\'';
    if (string.markup) mark("Markup(");
    mark({&quote, 1});
    MarkedReader reader(text);
    while (reader.left() > 0) {
      const Character character = character_at(text.bytes, reader.position());
      const std::string escape = escaped(character.code, quote);
      if (escape.empty()) {
        reader.take(character.size, out_);
      } else {
        out_.append(escape, reader.skip(character.size));
      }
    }
    mark({&quote, 1});
    if (string.markup) mark(")");
  }

  // Empty if the character stands for itself.
  static std::string escaped(char32_t code, char quote) {
    if (code == '\\') return "\\\\";
    if (code == static_cast<char32_t>(quote)) return {'\\', quote};
    if (code == '\n') return "\\n";
    if (code == '\r') return "\\r";
    if (code == '\t') return "\\t";
    if (is_printable(code)) return {};
    const auto number = static_cast<uint32_t>(code);
    if (number < 0x100) return fmt::format("\\x{:02x}", number);
    if (number < 0x10000) return fmt::format("\\u{:04x}", number);
    return fmt::format("\\U{:08x}", number);
  }

  void sequence(const Sequence& sequence) {
    using Type = Sequence::Type;
    if (sequence.type == Type::kRange || sequence.is_iterator()) return mark(sequence.shown);
    if (sequence.is_tuple()) {
      mark("(");
      items(sequence);
      return mark(sequence.items.size() == 1 ? ",)" : ")");
    }
    const bool view = !sequence.is_list();
    if (view) mark(fmt::format("{}(", Value(sequence).type_name()));
    mark("[");
    items(sequence);
    mark(view ? "])" : "]");
  }

  void items(const Sequence& sequence) {
    bool first = true;
    for (const Value& item : sequence.items) {
      if (!first) mark(", ");
      first = false;
      value(item);
    }
  }

  void dict(const Dict& dict) {
    mark("{");
    bool first = true;
    for (const auto& [key, item] : dict.members()) {
      if (!first) mark(", ");
      first = false;
      value(key);
      mark(": ");
      value(item);
    }
    mark("}");
  }

  Budget& budget_;
  MarkedText out_;
};

}  // namespace

MarkedText shown_value(const Value& value, Budget& budget) {
  Shown shown(budget);
  shown.value(value);
  return shown.take();
}

MarkedText text_of(const Value& value, Budget& budget) {
  if (value.is_undefined()) return {};
  if (!value.is_string()) return shown_value(value, budget);
  budget.text(value.as_string().text);
  return value.as_string().text;
}

}  // namespace st::jinja

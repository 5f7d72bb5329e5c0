// Filters that make text of text.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "jinja/access.h"
#include "jinja/filters.h"
#include "jinja/format.h"
#include "jinja/marks.h"
#include "jinja/methods.h"
#include "jinja/operators.h"
#include "jinja/render.h"
#include "jinja/strings.h"
#include "jinja/text_of.h"

namespace st::jinja {
namespace {

// Any value as a string; a string as it is.
String as_string(Render& render, const Value& value) {
  if (value.is_string()) return value.as_string();
  return {text_of(value, render.budget()), false};
}

// A filter that does what the method of that name does.
template <size_t name_size>
struct Name {
  char text[name_size];
  constexpr Name(const char (&name)[name_size]) { std::copy_n(name, name_size, text); }
  constexpr std::string_view view() const { return {text, name_size - 1}; }
};

template <Name method>
Value by_method(Render& render, const Value& input, const Arguments& arguments) {
  const Value string = as_string(render, input);
  return render.call(*find_method(string, method.view()), arguments);
}

Value center(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters parameters("center", arguments, {"width"});
  const Value string = as_string(render, input);
  return render.call(*find_method(string, "center"), {{parameters.integer(0, 80)}});
}

Value escape(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters none("escape", arguments, {});
  const String string = as_string(render, input);
  return String{string.markup ? string.text : escaped_for_html(string.text, render.budget()), true};
}

Value force_escape(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters none("forceescape", arguments, {});
  return String{escaped_for_html(as_string(render, input).text, render.budget()), true};
}

Value safe(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters none("safe", arguments, {});
  return String{as_string(render, input).text, true};
}

Value string(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters none("string", arguments, {});
  return as_string(render, input);
}

Value format(Render& render, const Value& input, const Arguments& arguments) {
  if (!arguments.named.empty() && !arguments.positional.empty()) {
    refuse("format: arguments with and without names");
  }
  std::vector<Value::Member> named;
  for (const auto& [name, value] : arguments.named) {
    named.emplace_back(Value::text(name, arguments.trusted_names), value);
  }
  const Value values = named.empty() ? Value::tuple(arguments.positional) : Value::dict(named);
  return percent_format(as_string(render, input), values, render.budget());
}

Value replace(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters parameters("replace", arguments, {"old", "new", "count"});
  Budget& budget = render.budget();
  const MarkedText old = text_of(parameters.required(0), budget);
  const MarkedText by = text_of(parameters.required(1), budget);
  return replaced(text_of(input, budget), old.bytes, by, parameters.integer(2, -1), budget);
}

// Where a word begins that the filter `title` writes in upper case.
bool begins_words(char32_t code) {
  return is_space(code) || code == '-' || code == '(' || code == '{' || code == '[' || code == '<';
}

Value title(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters none("title", arguments, {});
  const String string = as_string(render, input);
  String out{{}, false};
  MarkedReader reader(string.text);
  while (reader.left() > 0) {
    const std::string_view rest = std::string_view(string.text.bytes).substr(reader.position());
    size_t size = 0;
    const bool between = begins_words(character_at(rest, 0).code);
    while (size < rest.size()) {
      const Character character = character_at(rest, size);
      if (begins_words(character.code) != between) break;
      size += character.size;
    }
    append(out.text, capitalized(reader.take(size), Case::kUpper, render.budget()));
  }
  return out;
}

Value indent(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters parameters("indent", arguments, {"width", "first", "blank"});
  if (input.is_undefined()) refuse_undefined(input);
  if (!input.is_string()) refuse("indent: wants a string, not '{}'", input.type_name());
  Budget& budget = render.budget();
  MarkedText by;
  if (parameters.has(0) && parameters.value(0, None{}).is_string()) {
    by = parameters.string(0).text;
  } else {
    const int64_t width = std::max<int64_t>(parameters.integer(0, 4), 0);
    budget.bytes(static_cast<uint64_t>(width));
    by = marked(std::string(static_cast<size_t>(width), ' '), true);
  }
  MarkedText text = input.as_string().text;
  text.append("\n", true);
  const std::vector<MarkedText> lines = split_lines(text, false, budget);
  MarkedText out;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.append("\n", true);
    const bool wanted =
        i == 0 ? parameters.truth(1, false) : !lines[i].bytes.empty() || parameters.truth(2, false);
    if (wanted) {
      budget.text(by);
      append(out, by);
    }
    append(out, lines[i]);
  }
  return String{std::move(out), input.as_string().markup};
}

Value truncate(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters parameters("truncate", arguments, {"length", "killwords", "end", "leeway"});
  Budget& budget = render.budget();
  const MarkedText end = parameters.has(2) ? parameters.string(2).text : marked("...", true);
  const int64_t length = parameters.integer(0, 255), leeway = parameters.integer(3, 5);
  const auto end_size = static_cast<int64_t>(count_characters(end.bytes));
  if (length < end_size || leeway < 0) refuse("truncate: length {}, leeway {}", length, leeway);
  const int64_t size = length_of(input, budget);
  if (size <= length || size - length <= leeway) return input;
  if (!input.is_string()) refuse("truncate: wants a string, not '{}'", input.type_name());
  const MarkedText& text = input.as_string().text;
  MarkedText kept =
      part(text, 0, bytes_of_characters(text.bytes, static_cast<size_t>(length - end_size)));
  if (!parameters.truth(1, false)) {
    const size_t space = kept.bytes.rfind(' ');
    if (space != kept.bytes.npos) kept = part(kept, 0, space);
  }
  append(kept, end);
  return kept;
}

Value wordcount(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters none("wordcount", arguments, {});
  const String string = as_string(render, input);
  render.budget().text(string.text);
  int64_t words = 0;
  bool within = false;
  for (size_t at = 0; at < string.text.bytes.size();) {
    const Character character = character_at(string.text.bytes, at);
    const bool word =
        is_letter(character.code) || is_numeric(character.code) || character.code == '_';
    if (word && !within) ++words;
    within = word;
    at += character.size;
  }
  return words;
}

// What stands for itself in a URL, and everything else as %XX.
MarkedText quoted_for_url(const MarkedText& text, bool query, Budget& budget) {
  budget.text(text);
  budget.bytes(2 * text.bytes.size());
  MarkedText out;
  MarkedReader reader(text);
  while (reader.left() > 0) {
    const char c = text.bytes[reader.position()];
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("_.-~").find(c) != std::string_view::npos ||
                       (c == '/' && !query);
    if (plain) {
      reader.take(1, out);
    } else if (query && c == ' ') {
      out.append("+", reader.skip(1));
    } else {
      out.append(fmt::format("%{:02X}", static_cast<unsigned char>(c)), reader.skip(1));
    }
  }
  return out;
}

Value urlencode(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters none("urlencode", arguments, {});
  if (!input.is_dict() && !input.is_sequence()) {
    return quoted_for_url(as_string(render, input).text, false, render.budget());
  }
  MarkedText out;
  for (const auto& [key, value] : pairs_of(render, input, "urlencode")) {
    if (!out.bytes.empty()) out.append("&", true);
    append(out, quoted_for_url(as_string(render, key).text, true, render.budget()));
    out.append("=", true);
    append(out, quoted_for_url(as_string(render, value).text, true, render.budget()));
  }
  return out;
}

constexpr auto kFilters = std::to_array<NamedFilter>({
    {"capitalize", by_method<"capitalize">},
    {"center", center},
    {"e", escape},
    {"escape", escape},
    {"forceescape", force_escape},
    {"format", format},
    {"indent", indent},
    {"lower", by_method<"lower">},
    {"replace", replace},
    {"safe", safe},
    {"string", string},
    {"title", title},
    {"trim", by_method<"strip">},
    {"truncate", truncate},
    {"upper", by_method<"upper">},
    {"urlencode", urlencode},
    {"wordcount", wordcount},
});

}  // namespace

const std::span<const NamedFilter> kTextFilters = kFilters;

}  // namespace st::jinja

#include "jinja/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "jinja/characters.h"
#include "jinja/number_text.h"
#include "jinja/refuse.h"
#include "text/utf8.h"

namespace st::jinja {
namespace {

constexpr size_t npos = std::string_view::npos;
constexpr auto kOperators = std::to_array<std::string_view>(
    {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
     "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"});

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char32_t code) {
  return code == '_' || (code < 0x80 ? is_digit(static_cast<char>(code)) || is_letter(code)
                                     : is_letter(code) || is_numeric(code));
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) text_and_tag();
    add(Token::Kind::kEnd);
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return source_.substr(at_); }
  bool next_is(std::string_view text) const { return rest().starts_with(text); }

  void add(Token::Kind kind, std::string_view text = {}, Value value = {}) {
    tokens_.push_back({kind, line_, text, std::move(value)});
  }

  // Goes on to `end`, and counts the lines on the way.
  void pass_to(size_t end) {
    const std::string_view passed = source_.substr(at_, end - at_);
    line_ += static_cast<int>(std::ranges::count(passed, '\n'));
    if (!passed.empty()) line_starts_ = passed.ends_with('\n');
    at_ = end;
  }
  void pass(size_t bytes) { pass_to(at_ + bytes); }

  template <typename... Args>
  [[noreturn]] void wrong(fmt::format_string<Args...> format, Args&&... args) const {
    refuse("line {}: {}", line_, fmt::format(format, std::forward<Args>(args)...));
  }

  // Text up to the next tag, and the tag.
  void text_and_tag() {
    size_t tag = source_.find('{', at_);
    while (tag != npos &&
           !(tag + 1 < source_.size() && std::string_view("{%#").find(source_[tag + 1]) != npos)) {
      tag = source_.find('{', tag + 1);
    }
    if (tag == npos) {
      data(rest());
      return pass_to(source_.size());
    }
    const char kind = source_[tag + 1];
    const char sign = sign_at(tag + 2);
    data(trimmed(source_.substr(at_, tag - at_), sign, kind != '{'));
    pass_to(tag);
    if (kind == '#') return comment();
    if (kind == '%' && raw_begins(tag + 2 + (sign != 0))) return raw();
    pass(sign == 0 ? 2 : 3);
    add(kind == '{' ? Token::Kind::kExpressionBegin : Token::Kind::kBlockBegin);
    inside(kind == '{');
  }

  // '-' or '+' behind the beginning of a tag, or 0.
  char sign_at(size_t at) const {
    return at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at] : '\0';
  }

  void data(std::string_view text) {
    if (!text.empty()) add(Token::Kind::kData, text);
  }

  // What a tag leaves of the text before it.
  std::string_view trimmed(std::string_view text, char sign, bool block) const {
    if (sign == '-') return text.substr(0, text.size() - spaces_on_right(text));
    if (sign == '+' || !block) return text;
    const size_t newline = text.rfind('\n');
    if (newline == npos && !line_starts_) return text;
    const size_t line = newline == npos ? 0 : newline + 1;
    return spaces_on_left(text.substr(line)) == text.size() - line ? text.substr(0, line) : text;
  }

  // Passes the end of a tag, `end`, whose text may begin with '-' or '+', and the white space that
  // goes with it: false if there is none here.
  bool tag_end(std::string_view end, bool plus, bool trim) {
    size_t size = end.size();
    const char sign = sign_at(at_);
    if (sign != 0 && rest().substr(1).starts_with(end) && (sign == '-' || plus)) {
      ++size;
    } else if (!next_is(end)) {
      return false;
    }
    const bool bare = size == end.size();
    pass(size);
    if (!bare && sign == '-') {
      pass(spaces_on_left(rest()));
    } else if (bare && trim && next_is("\n")) {
      pass(1);
    }
    return true;
  }

  void comment() {
    const int begun = line_;
    const size_t begin = at_ + 2 + (sign_at(at_ + 2) != 0);
    size_t end = source_.find("#}", begin);
    if (end == npos) refuse("line {}: a comment does not end", begun);
    if (end > begin && sign_at(end - 1) != 0) --end;
    pass_to(end);
    tag_end("#}", true, true);
  }

  // Where `word` and the white space around it end, if it stands at `at`; else npos.
  size_t word_ends(size_t at, std::string_view word) const {
    at += spaces_on_left(source_.substr(at));
    if (!source_.substr(at).starts_with(word)) return npos;
    at += word.size();
    return at + spaces_on_left(source_.substr(at));
  }

  bool raw_begins(size_t at) const {
    at = word_ends(at, "raw");
    if (at == npos) return false;
    const std::string_view end = source_.substr(at);
    return end.starts_with("%}") || end.starts_with("-%}");
  }

  void raw() {
    const int begun = line_;
    pass_to(word_ends(at_ + 2 + (sign_at(at_ + 2) != 0), "raw"));
    tag_end("%}", false, false);
    for (size_t tag = source_.find("{%", at_); tag != npos; tag = source_.find("{%", tag + 1)) {
      const char sign = sign_at(tag + 2);
      const size_t end = word_ends(tag + 2 + (sign != 0), "endraw");
      if (end == npos) continue;
      const std::string_view behind = source_.substr(end);
      if (!behind.starts_with("%}") && !behind.starts_with("-%}") && !behind.starts_with("+%}")) {
        continue;
      }
      data(trimmed(source_.substr(at_, tag - at_), sign, true));
      pass_to(end);
      tag_end("%}", true, true);
      return;
    }
    refuse("line {}: 'raw' does not end", begun);
  }

  // The words of a tag, up to its end.
  void inside(bool expression) {
    const int begun = line_;
    std::string open;  // brackets that wait for these
    while (true) {
      pass(spaces_on_left(rest()));
      if (at_ == source_.size()) refuse("line {}: a tag does not end", begun);
      // Within brackets }} may close two of them.
      if (open.empty() && end_of_tag(expression)) return;
      word(open);
    }
  }

  bool end_of_tag(bool expression) {
    const auto kind = expression ? Token::Kind::kExpressionEnd : Token::Kind::kBlockEnd;
    const int line = line_;
    if (!tag_end(expression ? "}}" : "%}", !expression, !expression)) return false;
    tokens_.push_back({kind, line, {}});
    return true;
  }

  void word(std::string& open) {
    const char c = source_[at_];
    if (is_digit(c)) return number();
    if (c == '\'' || c == '"') return string(c);
    const size_t name = name_size();
    if (name > 0) {
      add(Token::Kind::kName, rest().substr(0, name));
      return pass(name);
    }
    for (const std::string_view op : kOperators) {
      if (!next_is(op)) continue;
      if (op.size() == 1) balance(op[0], open);
      add(Token::Kind::kOperator, op);
      return pass(op.size());
    }
    wrong("unexpected character '{}'",
          printable(rest().substr(0, character_at(source_, at_).size)));
  }

  void balance(char op, std::string& open) const {
    if (op == '(') open += ')';
    if (op == '[') open += ']';
    if (op == '{') open += '}';
    if (op != ')' && op != ']' && op != '}') return;
    if (open.empty()) wrong("unexpected '{}'", op);
    if (open.back() != op) wrong("unexpected '{}', expected '{}'", op, open.back());
    open.pop_back();
  }

  size_t name_size() const {
    size_t end = at_;
    while (end < source_.size()) {
      const Character character = character_at(source_, end);
      if (!is_word(character.code)) break;
      end += character.size;
    }
    return end - at_;
  }

  // Digits of `base` with single underscores between them, from `at` on.
  size_t digits_end(size_t at, std::string_view digits) const {
    const auto digit = [&](size_t i) {
      return i < source_.size() && digits.find(source_[i]) != npos;
    };
    while (digit(at) || (at > 0 && digit(at - 1) && at < source_.size() && source_[at] == '_' &&
                         digit(at + 1))) {
      ++at;
    }
    return at;
  }

  void number() {
    constexpr std::string_view kDecimal = "0123456789";
    const bool zero = source_[at_] == '0';
    const char prefix =
        at_ + 1 < source_.size() ? static_cast<char>(source_[at_ + 1] | 0x20) : '\0';
    if (zero && prefix == 'x') return integer(2, 16, "0123456789abcdefABCDEF");
    if (zero && prefix == 'o') return integer(2, 8, "01234567");
    if (zero && prefix == 'b') return integer(2, 2, "01");

    const size_t whole = digits_end(at_, kDecimal);
    size_t end = whole;
    const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
    const auto digit_at = [&](size_t i) { return i < source_.size() && is_digit(source_[i]); };
    if (!after_dot) {
      if (end < source_.size() && source_[end] == '.' && digit_at(end + 1)) {
        end = digits_end(end + 1, kDecimal);
      }
      if (end < source_.size() && (source_[end] | 0x20) == 'e') {
        const size_t power = end + 1 + (sign_at(end + 1) != 0);
        if (digit_at(power)) end = digits_end(power, kDecimal);
      }
    }
    if (end == whole) return integer(0, 10, zero ? "0" : kDecimal);
    std::string text(source_.substr(at_, end - at_));
    std::erase(text, '_');
    add(Token::Kind::kFloat, {}, *parse_float(text));
    pass_to(end);
  }

  void integer(size_t prefix, int base, std::string_view digits) {
    const size_t end = digits_end(at_ + prefix, digits);
    std::string text(source_.substr(at_ + prefix, end - at_ - prefix));
    std::erase(text, '_');
    int64_t value = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (text.empty()) wrong("a number without digits");
    const bool fits = error != std::errc::result_out_of_range;
    if (!fits && base != 10) wrong("integer {} has more than 64 bits", printable(text, 40));
    add(Token::Kind::kInteger, {},
        fits ? Value(value) : LongInteger{std::make_shared<const std::string>(std::move(text))});
    pass_to(end);
  }

  void string(char quote) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) wrong("a string does not end");
    std::string text;
    try {
      text = unescape(source_.substr(at_ + 1, end - at_ - 1));
    } catch (const Error& e) {
      wrong("{}", e.what());
    }
    add(Token::Kind::kString, {}, Value::text(text, true));
    pass_to(end + 1);
  }

  std::string_view source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starts_ = true;  // the character before at_ ended a line
  std::vector<Token> tokens_;
};

}  // namespace

std::string with_plain_lines(std::string_view source) {
  std::string lines;
  lines.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      lines += source[i];
      continue;
    }
    lines += '\n';
    if (source.substr(i + 1).starts_with('\n')) ++i;
  }
  if (lines.ends_with('\n')) lines.pop_back();
  return lines;
}

std::vector<Token> read_tokens(std::string_view source) {
  if (const size_t valid = valid_utf8_prefix(source); valid < source.size()) {
    refuse("line {}: not UTF-8", std::ranges::count(source.substr(0, valid), '\n') + 1);
  }
  return Lexer(source).run();
}

}  // namespace st::jinja

#include <array>

#include "jinja/filters.h"
#include "jinja/parser.h"
#include "jinja/predicates.h"
#include "jinja/restore.h"

namespace st::jinja {
namespace {

using Kind = Token::Kind;

template <typename T, typename... Args>
std::unique_ptr<const T> make(Args&&... args) {
  return std::make_unique<const T>(std::forward<Args>(args)...);
}

std::optional<BinaryOperator> binary_operator(const Token& token) {
  constexpr std::array<std::pair<std::string_view, BinaryOperator>, 7> kOperators = {{
      {"+", BinaryOperator::kAdd},
      {"-", BinaryOperator::kSubtract},
      {"*", BinaryOperator::kMultiply},
      {"/", BinaryOperator::kDivide},
      {"//", BinaryOperator::kFloorDivide},
      {"%", BinaryOperator::kModulo},
      {"**", BinaryOperator::kPower},
  }};
  if (token.kind != Kind::kOperator) return std::nullopt;
  for (const auto& [text, op] : kOperators) {
    if (text == token.text) return op;
  }
  return std::nullopt;
}

std::optional<ComparisonOperator> comparison_operator(const Token& token) {
  constexpr std::array<std::pair<std::string_view, ComparisonOperator>, 6> kOperators = {{
      {"==", ComparisonOperator::kEqual},
      {"!=", ComparisonOperator::kUnequal},
      {"<", ComparisonOperator::kLess},
      {"<=", ComparisonOperator::kLessEqual},
      {">", ComparisonOperator::kGreater},
      {">=", ComparisonOperator::kGreaterEqual},
  }};
  if (token.kind != Kind::kOperator) return std::nullopt;
  for (const auto& [text, op] : kOperators) {
    if (text == token.text) return op;
  }
  return std::nullopt;
}

}  // namespace

ExpressionPtr Parser::expression(bool conditionals) {
  const Restore deeper(depth_, depth_ + 1);
  if (depth_ > kMaxHeight) wrong("expressions nested deeper than {}", kMaxHeight);
  return conditionals ? conditional() : or_level();
}

ExpressionPtr Parser::conditional() {
  int line = now().line;
  const std::string unknown_before = unknown_;
  ExpressionPtr value = or_level();
  if (is_word("if")) unknown_ = unknown_before;
  while (skip_word("if")) {
    const Restore lenient(lenient_, true);
    ExpressionPtr condition = or_level();
    ExpressionPtr otherwise = skip_word("else") ? expression() : nullptr;
    value = make<Conditional>(line, std::move(condition), std::move(value), std::move(otherwise));
    line = now().line;
  }
  return value;
}

ExpressionPtr Parser::or_level() {
  const int line = now().line;
  ExpressionPtr left = and_level();
  while (skip_word("or")) left = make<Logic>(line, false, std::move(left), and_level());
  return left;
}

ExpressionPtr Parser::and_level() {
  const int line = now().line;
  ExpressionPtr left = not_level();
  while (skip_word("and")) left = make<Logic>(line, true, std::move(left), not_level());
  return left;
}

ExpressionPtr Parser::not_level() {
  const int line = now().line;
  if (!skip_word("not")) return comparison();
  const Restore deeper(depth_, depth_ + 1);
  if (depth_ > kMaxHeight) wrong("expressions nested deeper than {}", kMaxHeight);
  return make<Unary>(line, Unary::Op::kNot, not_level());
}

ExpressionPtr Parser::comparison() {
  const int line = now().line;
  ExpressionPtr first = sum();
  std::vector<Comparison::Operand> rest;
  while (true) {
    if (const auto op = comparison_operator(now())) {
      take();
      rest.emplace_back(*op, sum());
    } else if (skip_word("in")) {
      rest.emplace_back(ComparisonOperator::kIn, sum());
    } else if (is_word("not") && following().kind == Kind::kName && following().text == "in") {
      take();
      take();
      rest.emplace_back(ComparisonOperator::kNotIn, sum());
    } else {
      break;
    }
  }
  if (rest.empty()) return first;
  return make<Comparison>(line, std::move(first), std::move(rest));
}

ExpressionPtr Parser::sum() {
  const int line = now().line;
  ExpressionPtr left = concatenation();
  while (is_operator("+") || is_operator("-")) {
    const BinaryOperator op = *binary_operator(take());
    left = make<Binary>(line, op, std::move(left), concatenation());
  }
  return left;
}

ExpressionPtr Parser::concatenation() {
  const int line = now().line;
  Expressions parts;
  parts.push_back(product());
  while (skip_operator("~")) parts.push_back(product());
  if (parts.size() == 1) return std::move(parts[0]);
  return make<Concatenation>(line, std::move(parts));
}

ExpressionPtr Parser::product() {
  const int line = now().line;
  ExpressionPtr left = power();
  while (is_operator("*") || is_operator("/") || is_operator("//") || is_operator("%")) {
    const BinaryOperator op = *binary_operator(take());
    left = make<Binary>(line, op, std::move(left), power());
  }
  return left;
}

ExpressionPtr Parser::power() {
  const int line = now().line;
  ExpressionPtr left = unary();
  while (skip_operator("**")) {
    left = make<Binary>(line, BinaryOperator::kPower, std::move(left), unary());
  }
  return left;
}

ExpressionPtr Parser::unary(bool with_filters) {
  const Restore deeper(depth_, depth_ + 1);
  if (depth_ > kMaxHeight) wrong("expressions nested deeper than {}", kMaxHeight);
  const int line = now().line;
  ExpressionPtr value;
  if (skip_operator("-")) {
    value = make<Unary>(line, Unary::Op::kMinus, unary(false));
  } else if (skip_operator("+")) {
    value = make<Unary>(line, Unary::Op::kPlus, unary(false));
  } else {
    value = primary();
  }
  value = postfix(std::move(value));
  return with_filters ? filters_and_tests(std::move(value)) : std::move(value);
}

ExpressionPtr Parser::primary() {
  const int line = now().line;
  switch (now().kind) {
    case Kind::kName:
      return name();
    case Kind::kString: {
      MarkedText text;
      while (is(Kind::kString)) text.append(take().value.bytes(), true);
      return make<Literal>(line, std::move(text));
    }
    case Kind::kInteger:
    case Kind::kFloat:
      return make<Literal>(line, take().value);
    default:
      break;
  }
  if (skip_operator("(")) {
    ExpressionPtr inner = tuple({.parentheses = true});
    expect_operator(")");
    return inner;
  }
  if (is_operator("[")) return list_display();
  if (is_operator("{")) return dict_display();
  wrong("unexpected {}", described(now()));
}

ExpressionPtr Parser::name() {
  const Token token = take();
  if (token.text == "true" || token.text == "True") return make<Literal>(token.line, Value(true));
  if (token.text == "false" || token.text == "False") {
    return make<Literal>(token.line, Value(false));
  }
  if (token.text == "none" || token.text == "None") return make<Literal>(token.line, None{});
  seen_.varargs += token.text == "varargs";
  seen_.kwargs += token.text == "kwargs";
  seen_.caller += token.text == "caller";
  return make<Name>(token.line, token.text);
}

ExpressionPtr Parser::tuple(const TupleStyle& style) {
  const int line = now().line;
  Expressions items;
  bool is_tuple = false;
  while (true) {
    const bool ends = is(Kind::kExpressionEnd) || is(Kind::kBlockEnd) || is_operator(")") ||
                      (!style.end_word.empty() && is_word(style.end_word));
    if (ends) break;
    items.push_back(expression(style.conditionals));
    if (!skip_operator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && items.size() == 1) return std::move(items[0]);
  if (items.empty() && !style.parentheses)
    wrong("expected an expression, got {}", described(now()));
  return make<ListDisplay>(line, Sequence::Type::kTuple, std::move(items));
}

ExpressionPtr Parser::list_display() {
  const int line = take().line;
  Expressions items;
  while (!is_operator("]")) {
    items.push_back(expression());
    if (!skip_operator(",")) break;
  }
  expect_operator("]");
  return make<ListDisplay>(line, Sequence::Type::kList, std::move(items));
}

ExpressionPtr Parser::dict_display() {
  const int line = take().line;
  std::vector<DictDisplay::Member> members;
  while (!is_operator("}")) {
    ExpressionPtr key = expression();
    expect_operator(":");
    members.emplace_back(std::move(key), expression());
    if (!skip_operator(",")) break;
  }
  expect_operator("}");
  return make<DictDisplay>(line, std::move(members));
}

ExpressionPtr Parser::postfix(ExpressionPtr object) {
  while (true) {
    if (is_operator(".")) {
      object = attribute(std::move(object));
    } else if (is_operator("[")) {
      object = subscript(std::move(object));
    } else if (is_operator("(")) {
      object = call(std::move(object));
    } else {
      return object;
    }
  }
}

ExpressionPtr Parser::attribute(ExpressionPtr object) {
  const int line = take().line;
  if (is(Kind::kName)) return make<Attribute>(line, std::move(object), take().text);
  if (!is(Kind::kInteger)) wrong("expected a name or number, got {}", described(now()));
  return make<Item>(line, std::move(object), make<Literal>(line, take().value));
}

ExpressionPtr Parser::subscript(ExpressionPtr object) {
  const int line = take().line;
  std::vector<ExpressionPtr> bounds;
  bool slice = false;
  Expressions several;  // of a tuple as index
  while (!is_operator("]")) {
    if (slice || (is_operator(":") && !several.empty())) wrong("a slice among several indices");
    if (!is_operator(":")) bounds.push_back(expression());
    if (bounds.empty()) bounds.push_back(nullptr);
    while (bounds.size() < 3 && skip_operator(":")) {
      slice = true;
      const bool absent = is_operator(":") || is_operator("]") || is_operator(",");
      bounds.push_back(absent ? nullptr : expression());
    }
    if (!slice) {
      several.push_back(std::move(bounds[0]));
      bounds.clear();
    }
    if (!is_operator("]")) expect_operator(",");
  }
  if (slice && !several.empty()) wrong("a slice among several indices");
  expect_operator("]");
  if (slice) {
    bounds.resize(3);
    return make<Slice>(line, std::move(object), std::move(bounds));
  }
  if (several.size() == 1) return make<Item>(line, std::move(object), std::move(several[0]));
  return make<Item>(line, std::move(object),
                    make<ListDisplay>(line, Sequence::Type::kTuple, std::move(several)));
}

ExpressionPtr Parser::call(ExpressionPtr callee) {
  const int line = now().line;
  return make<Call>(line, std::move(callee), call_arguments());
}

CallArguments Parser::call_arguments() {
  CallArguments arguments;
  expect_operator("(");
  const auto ensure = [&](bool right) {
    if (!right) wrong("arguments of a call in a wrong order");
  };
  while (!is_operator(")")) {
    if (skip_operator("*")) {
      ensure(arguments.star == nullptr && arguments.double_star == nullptr);
      arguments.star = expression();
    } else if (skip_operator("**")) {
      ensure(arguments.double_star == nullptr);
      arguments.double_star = expression();
    } else if (is(Kind::kName) && is_operator(following(), "=")) {
      ensure(arguments.double_star == nullptr);
      std::string name(take().text);
      take();
      arguments.named.emplace_back(std::move(name), expression());
    } else {
      ensure(arguments.star == nullptr && arguments.double_star == nullptr &&
             arguments.named.empty());
      arguments.positional.push_back(expression());
    }
    if (!is_operator(")")) expect_operator(",");
  }
  expect_operator(")");
  return arguments;
}

ExpressionPtr Parser::filters_and_tests(ExpressionPtr input) {
  while (true) {
    const int line = now().line;
    if (skip_operator("|")) {
      input = make<Filtered>(line, std::move(input), filter_call());
    } else if (is_word("is")) {
      input = test(std::move(input));
    } else if (is_operator("(")) {
      input = call(std::move(input));
    } else {
      return input;
    }
  }
}

std::string Parser::dotted_name() {
  std::string name(expect_name());
  while (skip_operator(".")) name += fmt::format(".{}", expect_name());
  return name;
}

void Parser::note_unknown(int line, std::string_view kind, std::string_view name) {
  if (lenient_ || !unknown_.empty()) return;
  unknown_ = fmt::format("line {}: no {} '{}'", line, kind, printable(name, 60));
}

FilterCall Parser::filter_call() {
  const int line = now().line;
  FilterCall call{.name = dotted_name(), .filter = nullptr, .arguments = {}};
  call.filter = find_filter(call.name);
  if (call.filter == nullptr) note_unknown(line, "filter", call.name);
  if (is_operator("(")) call.arguments = call_arguments();
  return call;
}

ExpressionPtr Parser::test(ExpressionPtr input) {
  const int line = take().line;
  const bool negated = skip_word("not");
  const std::string name = dotted_name();
  const Test found = find_test(name);
  if (found == nullptr) note_unknown(line, "test", name);
  CallArguments arguments;
  if (is_operator("(")) {
    arguments = call_arguments();
  } else if (argument_of_test_follows()) {
    if (is_word("is")) wrong("two tests in a row");
    arguments.positional.push_back(postfix(primary()));
  }
  ExpressionPtr tested = make<Tested>(line, std::move(input), name, found, std::move(arguments));
  if (!negated) return tested;
  return make<Unary>(line, Unary::Op::kNot, std::move(tested));
}

bool Parser::argument_of_test_follows() const {
  switch (now().kind) {
    case Kind::kName:
      return now().text != "else" && now().text != "or" && now().text != "and";
    case Kind::kString:
    case Kind::kInteger:
    case Kind::kFloat:
      return true;
    default:
      return is_operator("[") || is_operator("{");
  }
}

}  // namespace st::jinja

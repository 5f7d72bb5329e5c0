#include <algorithm>

#include "jinja/parser.h"
#include "jinja/restore.h"
#include "jinja/statements.h"

namespace st::jinja {
namespace {

using Kind = Token::Kind;

}  // namespace

bool Parser::skip_operator(std::string_view text) {
  if (!is_operator(text)) return false;
  take();
  return true;
}

bool Parser::skip_word(std::string_view text) {
  if (!is_word(text)) return false;
  take();
  return true;
}

void Parser::expect_operator(std::string_view text) {
  if (!skip_operator(text)) wrong("expected '{}', got {}", text, described(now()));
}

void Parser::expect_word(std::string_view text) {
  if (!skip_word(text)) wrong("expected '{}', got {}", text, described(now()));
}

std::string_view Parser::expect_name() {
  if (!is(Kind::kName)) wrong("expected a name, got {}", described(now()));
  return take().text;
}

void Parser::expect(Kind kind, std::string_view what) {
  if (!is(kind)) wrong("expected {}, got {}", what, described(now()));
  take();
}

std::string Parser::described(const Token& token) {
  switch (token.kind) {
    case Kind::kName:
    case Kind::kOperator:
      return fmt::format("'{}'", printable(token.text, 60));
    case Kind::kString:
      return "a string";
    case Kind::kInteger:
    case Kind::kFloat:
      return "a number";
    case Kind::kEnd:
      return "the end of the template";
    case Kind::kExpressionEnd:
      return "'}}'";
    case Kind::kBlockEnd:
      return "'%}'";
    default:
      return "text";
  }
}

Body Parser::parse() {
  Body all = body({});
  if (!is(Kind::kEnd)) wrong("unexpected {}", described(now()));
  if (!unknown_.empty()) refuse("{}", unknown_);
  return all;
}

Body Parser::body(Words ends) {
  const Restore deeper(depth_, depth_ + 1);
  if (depth_ > kMaxHeight) wrong("blocks nested deeper than {}", kMaxHeight);
  Body statements;
  while (!is(Kind::kEnd)) {
    const Token token = take();
    if (token.kind == Kind::kData) {
      statements.push_back(std::make_unique<const Text>(token.line, token.text));
    } else if (token.kind == Kind::kExpressionBegin) {
      statements.push_back(std::make_unique<const Output>(token.line, tuple({})));
      expect(Kind::kExpressionEnd, "'}}'");
    } else {
      const bool at_end = is(Kind::kName) && std::ranges::find(ends, now().text) != ends.end();
      if (at_end) return statements;
      statements.push_back(statement());
      expect(Kind::kBlockEnd, "'%}'");
    }
  }
  if (ends.size() > 0) wrong("the template ends without '{}'", *(ends.end() - 1));
  return statements;
}

Body Parser::block(Words ends) {
  skip_operator(":");
  expect(Kind::kBlockEnd, "'%}'");
  return body(ends);
}

std::unique_ptr<const Statement> Parser::statement() {
  if (!is(Kind::kName)) wrong("expected the name of a tag, got {}", described(now()));
  const std::string_view tag = now().text;
  if (tag == "if") return if_statement();
  if (tag == "for") return for_statement();
  if (tag == "set") return set_statement();
  if (tag == "macro") return macro_statement();
  if (tag == "call") return call_statement();
  if (tag == "filter") return filter_statement();
  if (tag == "with") return with_statement();
  if (tag == "generation") return generation_statement();
  if (tag == "break" || tag == "continue") return jump_statement();
  constexpr std::string_view kOtherTemplates[] = {"include", "import", "from", "extends"};
  if (std::ranges::find(kOtherTemplates, tag) != std::end(kOtherTemplates)) {
    return unsupported_statement();
  }
  if (tag == "block" || tag == "autoescape" || tag == "print") {
    wrong("tag '{}' is not supported", tag);
  }
  const bool misplaced = tag == "else" || tag == "elif" || tag.starts_with("end");
  wrong("{} '{}'", misplaced ? "misplaced tag" : "unknown tag", printable(tag, 60));
}

std::unique_ptr<const Statement> Parser::if_statement() {
  const Restore lenient(lenient_, true);
  const int line = now().line;
  std::vector<If::Branch> branches;
  while (true) {
    const std::string_view tag = take().text;
    ExpressionPtr condition = tag == "else" ? nullptr : tuple({.conditionals = false});
    const bool last = condition == nullptr;
    Body inside = last ? block({"endif"}) : block({"elif", "else", "endif"});
    branches.push_back({std::move(condition), std::move(inside)});
    if (skip_word("endif")) break;
  }
  return std::make_unique<const If>(line, std::move(branches));
}

std::unique_ptr<const Statement> Parser::for_statement() {
  const int line = take().line;
  ForParts parts{.target = target(false, "in"), .source = nullptr};
  expect_word("in");
  parts.source = tuple({.conditionals = false, .end_word = "recursive"});
  const Restore strict(lenient_, false);
  if (skip_word("if")) parts.condition = expression();
  parts.recursive = skip_word("recursive");
  {
    const Restore looping(in_loop_, true);
    parts.body = block({"else", "endfor"});
  }
  if (skip_word("else")) parts.otherwise = block({"endfor"});
  expect_word("endfor");
  return std::make_unique<const For>(line, std::move(parts));
}

std::unique_ptr<const Statement> Parser::set_statement() {
  const int line = take().line;
  Target to = target(true, {});
  if (skip_operator("=")) return std::make_unique<const Set>(line, std::move(to), tuple({}));
  std::vector<FilterCall> filters = filter_calls(false);
  const Restore strict(lenient_, false);
  Body inside = block({"endset"});
  take();
  return std::make_unique<const Capture>(line, std::move(to), std::move(filters),
                                         std::move(inside));
}

std::unique_ptr<const Statement> Parser::filter_statement() {
  const int line = take().line;
  const Restore strict(lenient_, false);
  std::vector<FilterCall> filters = filter_calls(true);
  Body inside = block({"endfilter"});
  take();
  return std::make_unique<const Capture>(line, std::nullopt, std::move(filters), std::move(inside));
}

std::vector<FilterCall> Parser::filter_calls(bool first_without_bar) {
  std::vector<FilterCall> calls;
  if (first_without_bar) calls.push_back(filter_call());
  while (skip_operator("|")) calls.push_back(filter_call());
  return calls;
}

std::unique_ptr<const Statement> Parser::macro_statement() {
  const int line = take().line;
  MacroBody macro{.name = std::string(expect_name())};
  signature(macro);
  macro_body(macro, "endmacro");
  return std::make_unique<const DefineMacro>(line, std::move(macro));
}

std::unique_ptr<const Statement> Parser::call_statement() {
  const int line = take().line;
  MacroBody caller{.name = "caller"};
  if (is_operator("(")) signature(caller);
  ExpressionPtr expression_called = expression();
  const auto* called = dynamic_cast<const Call*>(expression_called.get());
  if (called == nullptr) wrong_at(line, "'call' wants a call");
  expression_called.release();
  std::unique_ptr<const Call> owned(called);
  macro_body(caller, "endcall");
  return std::make_unique<const CallBlock>(line, std::move(owned), std::move(caller));
}

void Parser::signature(MacroBody& macro) {
  const Restore strict(lenient_, false);
  expect_operator("(");
  while (!is_operator(")")) {
    if (!macro.parameters.empty()) expect_operator(",");
    macro.parameters.emplace_back(expect_name());
    if (skip_operator("=")) {
      macro.defaults.push_back(expression());
    } else if (!macro.defaults.empty()) {
      wrong("a parameter without default behind one with a default");
    }
  }
  expect_operator(")");
}

void Parser::macro_body(MacroBody& macro, std::string_view end) {
  const Restore strict(lenient_, false);
  const Restore outside(in_loop_, false);
  const Special before = seen_;
  macro.body = block({end});
  take();
  macro.uses_varargs = seen_.varargs > before.varargs;
  macro.uses_kwargs = seen_.kwargs > before.kwargs;
  macro.uses_caller = seen_.caller > before.caller;
}

std::unique_ptr<const Statement> Parser::with_statement() {
  const int line = take().line;
  const Restore strict(lenient_, false);
  std::vector<Scoped::Variable> variables;
  while (!is(Kind::kBlockEnd)) {
    if (!variables.empty()) expect_operator(",");
    Target to = target(false, {});
    expect_operator("=");
    variables.emplace_back(std::move(to), expression());
  }
  Body inside = block({"endwith"});
  take();
  return std::make_unique<const Scoped>(line, std::move(variables), std::move(inside));
}

std::unique_ptr<const Statement> Parser::generation_statement() {
  const int line = take().line;
  const Restore strict(lenient_, false);
  const Restore outside(in_loop_, false);
  Body inside = block({"endgeneration"});
  take();
  return std::make_unique<const Scoped>(line, std::vector<Scoped::Variable>{}, std::move(inside));
}

// Whatever it names, it is an error only if it is reached.
std::unique_ptr<const Statement> Parser::unsupported_statement() {
  const Token tag = take();
  while (!is(Kind::kBlockEnd)) take();
  return std::make_unique<const Unsupported>(tag.line, tag.text);
}

std::unique_ptr<const Statement> Parser::jump_statement() {
  const Token tag = take();
  if (!in_loop_) wrong_at(tag.line, fmt::format("'{}' outside of a loop", tag.text));
  const Flow flow = tag.text == "break" ? Flow::kBreak : Flow::kContinue;
  return std::make_unique<const Jump>(tag.line, flow);
}

Target Parser::target(bool namespaces, std::string_view end_word) {
  if (namespaces && is_operator(following(), ".")) {
    Target to{.name = std::string(expect_name())};
    take();
    to.attribute = expect_name();
    return to;
  }
  Target all;
  bool is_tuple = false;
  while (!is(Kind::kBlockEnd) && !is_operator(")") && (end_word.empty() || !is_word(end_word))) {
    all.parts.push_back(target_item());
    if (!skip_operator(",")) break;
    is_tuple = true;
  }
  if (all.parts.empty()) wrong("expected a name, got {}", described(now()));
  if (is_tuple) return all;
  Target only = std::move(all.parts[0]);
  return only;
}

Target Parser::target_item() {
  const Restore deeper(depth_, depth_ + 1);
  if (depth_ > kMaxHeight) wrong("names nested deeper than {}", kMaxHeight);
  if (skip_operator("(")) {
    Target inner = target(false, {});
    expect_operator(")");
    return inner;
  }
  constexpr std::string_view kConstants[] = {"true", "True", "false", "False", "none", "None"};
  if (is(Kind::kName) && std::ranges::find(kConstants, now().text) != std::end(kConstants)) {
    wrong("nothing can be assigned to '{}'", now().text);
  }
  return {.name = std::string(expect_name())};
}

}  // namespace st::jinja

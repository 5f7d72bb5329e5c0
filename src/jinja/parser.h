// Tokens to statements: the grammar of Jinja 3.1.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "jinja/ast.h"
#include "jinja/expressions.h"
#include "jinja/lexer.h"
#include "jinja/refuse.h"

namespace st::jinja {

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  // The whole template. Throws Error(kInvalidData) "line N: what is wrong".
  Body parse();

 private:
  using Words = std::initializer_list<std::string_view>;

  // Where an expression ends that may be a tuple without parentheses.
  struct TupleStyle {
    bool conditionals = true;
    std::string_view end_word = {};
    bool parentheses = false;  // which make () a tuple
  };

  // Which names mean something in the body of a macro.
  struct Special {
    int varargs = 0, kwargs = 0, caller = 0;
  };

  // Tokens.
  const Token& now() const { return tokens_[at_]; }
  const Token& following() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool is(Token::Kind kind) const { return now().kind == kind; }
  bool is_operator(std::string_view text) const { return is_operator(now(), text); }
  static bool is_operator(const Token& token, std::string_view text) {
    return token.kind == Token::Kind::kOperator && token.text == text;
  }
  bool is_word(std::string_view text) const { return is(Token::Kind::kName) && now().text == text; }
  bool skip_operator(std::string_view text);
  bool skip_word(std::string_view text);
  void expect_operator(std::string_view text);
  void expect_word(std::string_view text);
  std::string_view expect_name();
  void expect(Token::Kind kind, std::string_view what);
  static std::string described(const Token& token);
  template <typename... Args>
  [[noreturn]] void wrong(fmt::format_string<Args...> format, Args&&... args) const {
    wrong_at(now().line, fmt::format(format, std::forward<Args>(args)...));
  }
  [[noreturn]] static void wrong_at(int line, std::string_view what) {
    refuse("line {}: {}", line, what);
  }

  // Expressions.
  ExpressionPtr expression(bool conditionals = true);
  ExpressionPtr conditional();
  ExpressionPtr or_level();
  ExpressionPtr and_level();
  ExpressionPtr not_level();
  ExpressionPtr comparison();
  ExpressionPtr sum();
  ExpressionPtr concatenation();
  ExpressionPtr product();
  ExpressionPtr power();
  ExpressionPtr unary(bool with_filters = true);
  ExpressionPtr primary();
  ExpressionPtr name();
  ExpressionPtr tuple(const TupleStyle& style);
  ExpressionPtr list_display();
  ExpressionPtr dict_display();
  ExpressionPtr postfix(ExpressionPtr object);
  ExpressionPtr attribute(ExpressionPtr object);
  ExpressionPtr subscript(ExpressionPtr object);
  ExpressionPtr call(ExpressionPtr callee);
  ExpressionPtr filters_and_tests(ExpressionPtr input);
  ExpressionPtr test(ExpressionPtr input);
  bool argument_of_test_follows() const;
  CallArguments call_arguments();
  FilterCall filter_call();
  std::string dotted_name();
  // Of a filter or test that there is none of.
  void note_unknown(int line, std::string_view kind, std::string_view name);

  // Statements.
  Body body(Words ends);   // up to one of the words, which is now()
  Body block(Words ends);  // the same, from the end of a tag on
  std::unique_ptr<const Statement> statement();
  std::unique_ptr<const Statement> if_statement();
  std::unique_ptr<const Statement> for_statement();
  std::unique_ptr<const Statement> set_statement();
  std::unique_ptr<const Statement> macro_statement();
  std::unique_ptr<const Statement> call_statement();
  std::unique_ptr<const Statement> filter_statement();
  std::unique_ptr<const Statement> with_statement();
  std::unique_ptr<const Statement> generation_statement();
  std::unique_ptr<const Statement> unsupported_statement();
  std::unique_ptr<const Statement> jump_statement();
  std::vector<FilterCall> filter_calls(bool first_without_bar);
  void signature(MacroBody& macro);
  void macro_body(MacroBody& macro, std::string_view end);
  Target target(bool namespaces, std::string_view end_word);
  Target target_item();

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;         // of what calls itself
  bool in_loop_ = false;  // a jump has somewhere to go
  bool lenient_ = false;  // an unknown filter or test is an error only when it is reached
  std::string unknown_;   // the first one that is an error in any case
  Special seen_;          // special names so far
};

}  // namespace st::jinja

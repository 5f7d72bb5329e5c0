// The kinds of statements.
#pragma once

#include <optional>

#include "jinja/ast.h"
#include "jinja/expressions.h"
#include "jinja/refuse.h"

namespace st::jinja {

// Text of the template.
class Text final : public Statement {
 public:
  Text(int line, std::string_view text) : Statement(line), text_(text) {}

 private:
  Flow run(Render& render) const override;
  std::string text_;
};

// {{ expression }}
class Output final : public Statement {
 public:
  Output(int line, ExpressionPtr expression)
      : Statement(line), expression_(std::move(expression)) {}

 private:
  Flow run(Render& render) const override;
  ExpressionPtr expression_;
};

class If final : public Statement {
 public:
  struct Branch {
    ExpressionPtr condition;  // nullptr: else
    Body body;
  };
  If(int line, std::vector<Branch> branches) : Statement(line), branches_(std::move(branches)) {}

 private:
  Flow run(Render& render) const override;
  std::vector<Branch> branches_;
};

struct ForParts {
  Target target;
  ExpressionPtr source;
  ExpressionPtr condition = nullptr;  // of the elements to take; may be null
  bool recursive = false;
  Body body = {}, otherwise = {};
};

class For final : public Statement {
 public:
  For(int line, ForParts parts) : Statement(line), parts_(std::move(parts)) {}

  // Runs over another source, from within itself.
  void run_over(Render& render, const Value& source, int depth) const;

 private:
  Flow run(Render& render) const override;
  ForParts parts_;
};

class Set final : public Statement {
 public:
  Set(int line, Target target, ExpressionPtr expression)
      : Statement(line), target_(std::move(target)), expression_(std::move(expression)) {}

 private:
  Flow run(Render& render) const override;
  Target target_;
  ExpressionPtr expression_;
};

// What its body prints goes through filters, and then to a target, or is printed if there is none.
class Capture final : public Statement {
 public:
  Capture(int line, std::optional<Target> target, std::vector<FilterCall> filters, Body body)
      : Statement(line),
        target_(std::move(target)),
        filters_(std::move(filters)),
        body_(std::move(body)) {}

 private:
  Flow run(Render& render) const override;
  std::optional<Target> target_;
  std::vector<FilterCall> filters_;
  Body body_;
};

class DefineMacro final : public Statement {
 public:
  DefineMacro(int line, MacroBody macro) : Statement(line), macro_(std::move(macro)) {}

 private:
  Flow run(Render& render) const override;
  MacroBody macro_;
};

// {% call macro() %}
class CallBlock final : public Statement {
 public:
  CallBlock(int line, std::unique_ptr<const Call> call, MacroBody body)
      : Statement(line), call_(std::move(call)), body_(std::move(body)) {}

 private:
  Flow run(Render& render) const override;
  std::unique_ptr<const Call> call_;
  MacroBody body_;
};

// A body with variables of its own, some of which have values at its beginning.
class Scoped final : public Statement {
 public:
  using Variable = std::pair<Target, ExpressionPtr>;
  Scoped(int line, std::vector<Variable> variables, Body body)
      : Statement(line), variables_(std::move(variables)), body_(std::move(body)) {}

 private:
  Flow run(Render& render) const override;
  std::vector<Variable> variables_;
  Body body_;
};

// A tag that a template may have where it is never reached.
class Unsupported final : public Statement {
 public:
  Unsupported(int line, std::string_view tag) : Statement(line), tag_(tag) {}

 private:
  Flow run(Render&) const override { refuse("'{}': there are no other templates", tag_); }
  std::string tag_;
};

// {% break %} and {% continue %}
class Jump final : public Statement {
 public:
  Jump(int line, Flow flow) : Statement(line), flow_(flow) {}

 private:
  Flow run(Render&) const override { return flow_; }
  Flow flow_;
};

}  // namespace st::jinja

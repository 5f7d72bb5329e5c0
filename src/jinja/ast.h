// What the parser makes of a template: expressions that have values, statements that print.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "jinja/object.h"
#include "jinja/value.h"

namespace st::jinja {

class Render;

constexpr int kMaxHeight = 200;  // levels of expressions, and of blocks

class Expression {
 public:
  explicit Expression(int line) : line_(line) {}
  virtual ~Expression() = default;
  Expression(const Expression&) = delete;
  Expression& operator=(const Expression&) = delete;

  int line() const { return line_; }
  int height() const { return height_; }
  // Throws Error(kInvalidData).
  Value evaluate(Render& render) const;

 protected:
  // Tells the height of a part. Throws Error(kInvalidData) if this is one too many.
  void stands_on(const Expression* part);

 private:
  virtual Value value(Render& render) const = 0;

  int line_;
  int height_ = 1;
};

using ExpressionPtr = std::unique_ptr<const Expression>;
using Expressions = std::vector<ExpressionPtr>;

// What stands between the parentheses of a call.
struct CallArguments {
  Expressions positional = {};
  std::vector<std::pair<std::string, ExpressionPtr>> named = {};
  ExpressionPtr star = nullptr, double_star = nullptr;

  Arguments evaluate(Render& render) const;
};

using Filter = Value (*)(Render& render, const Value& input, const Arguments& arguments);
using Test = bool (*)(Render& render, const Value& input, const Arguments& arguments);

struct FilterCall {
  std::string name;
  Filter filter;  // nullptr: there is none of that name, which is an error when it is called
  CallArguments arguments;

  Value apply(Render& render, const Value& input) const;
};

// Where an assignment goes: a name, an attribute of a namespace, or several targets.
struct Target {
  std::string name = {};
  std::string attribute = {};
  std::vector<Target> parts = {};  // if not empty: instead

  void assign(Render& render, const Value& value) const;
};

enum class Flow { kNext, kBreak, kContinue };

class Statement {
 public:
  explicit Statement(int line) : line_(line) {}
  virtual ~Statement() = default;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Flow execute(Render& render) const;

 private:
  virtual Flow run(Render& render) const = 0;

  int line_;
};

using Body = std::vector<std::unique_ptr<const Statement>>;

// Executes statements up to the end, a break or a continue.
Flow execute(const Body& body, Render& render);

// A macro, or the body of a call block.
struct MacroBody {
  std::string name = {};
  std::vector<std::string> parameters = {};
  Expressions defaults = {};  // of the last parameters
  bool uses_varargs = false, uses_kwargs = false, uses_caller = false;
  Body body = {};
};

}  // namespace st::jinja

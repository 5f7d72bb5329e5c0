// The kinds of expressions.
#pragma once

#include "jinja/ast.h"
#include "jinja/operators.h"

namespace st::jinja {

class Literal final : public Expression {
 public:
  Literal(int line, Value value) : Expression(line), value_(std::move(value)) {}

 private:
  Value value(Render&) const override { return value_; }
  Value value_;
};

class Name final : public Expression {
 public:
  Name(int line, std::string_view name)
      : Expression(line), name_(std::make_shared<const std::string>(name)) {}

 private:
  Value value(Render& render) const override;
  std::shared_ptr<const std::string> name_;
};

// [a, b] or (a, b).
class ListDisplay final : public Expression {
 public:
  ListDisplay(int line, Sequence::Type type, Expressions items);

 private:
  Value value(Render& render) const override;
  Sequence::Type type_;
  Expressions items_;
};

class DictDisplay final : public Expression {
 public:
  using Member = std::pair<ExpressionPtr, ExpressionPtr>;
  DictDisplay(int line, std::vector<Member> members);

 private:
  Value value(Render& render) const override;
  std::vector<Member> members_;
};

// object.name
class Attribute final : public Expression {
 public:
  Attribute(int line, ExpressionPtr object, std::string_view name);

 private:
  Value value(Render& render) const override;
  ExpressionPtr object_;
  std::string name_;
};

// object[index]
class Item final : public Expression {
 public:
  Item(int line, ExpressionPtr object, ExpressionPtr index);

 private:
  Value value(Render& render) const override;
  ExpressionPtr object_, index_;
};

// object[begin:end:step], each of which may be absent.
class Slice final : public Expression {
 public:
  Slice(int line, ExpressionPtr object, std::vector<ExpressionPtr> bounds);

 private:
  Value value(Render& render) const override;
  ExpressionPtr object_;
  std::vector<ExpressionPtr> bounds_;
};

class Unary final : public Expression {
 public:
  enum class Op { kNot, kMinus, kPlus };
  Unary(int line, Op op, ExpressionPtr operand);

 private:
  Value value(Render& render) const override;
  Op op_;
  ExpressionPtr operand_;
};

class Binary final : public Expression {
 public:
  Binary(int line, BinaryOperator op, ExpressionPtr left, ExpressionPtr right);

 private:
  Value value(Render& render) const override;
  BinaryOperator op_;
  ExpressionPtr left_, right_;
};

// a ~ b ~ c
class Concatenation final : public Expression {
 public:
  Concatenation(int line, Expressions parts);

 private:
  Value value(Render& render) const override;
  Expressions parts_;
};

// a < b <= c
class Comparison final : public Expression {
 public:
  using Operand = std::pair<ComparisonOperator, ExpressionPtr>;
  Comparison(int line, ExpressionPtr first, std::vector<Operand> rest);

 private:
  Value value(Render& render) const override;
  ExpressionPtr first_;
  std::vector<Operand> rest_;
};

// `and`, `or`: one of the operands.
class Logic final : public Expression {
 public:
  Logic(int line, bool is_and, ExpressionPtr left, ExpressionPtr right);

 private:
  Value value(Render& render) const override;
  bool is_and_;
  ExpressionPtr left_, right_;
};

// a if condition else b; without an else, undefined.
class Conditional final : public Expression {
 public:
  Conditional(int line, ExpressionPtr condition, ExpressionPtr yes, ExpressionPtr no);

 private:
  Value value(Render& render) const override;
  ExpressionPtr condition_, yes_, no_;
};

class Call final : public Expression {
 public:
  Call(int line, ExpressionPtr callee, CallArguments arguments);

  // With a `caller` besides the arguments.
  Value evaluate_with(Render& render, Value caller) const;

 private:
  Value value(Render& render) const override;
  ExpressionPtr callee_;
  CallArguments arguments_;
};

class Filtered final : public Expression {
 public:
  Filtered(int line, ExpressionPtr input, FilterCall call);

 private:
  Value value(Render& render) const override;
  ExpressionPtr input_;
  FilterCall call_;
};

class Tested final : public Expression {
 public:
  // `test`: nullptr if there is none of that name.
  Tested(int line, ExpressionPtr input, std::string_view name, Test test, CallArguments arguments);

 private:
  Value value(Render& render) const override;
  ExpressionPtr input_;
  std::string name_;
  Test test_;
  CallArguments arguments_;
};

}  // namespace st::jinja

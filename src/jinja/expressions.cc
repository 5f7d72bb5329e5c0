#include "jinja/expressions.h"

#include <algorithm>

#include "jinja/access.h"
#include "jinja/marks.h"
#include "jinja/render.h"
#include "jinja/text_of.h"

namespace st::jinja {

Value Expression::evaluate(Render& render) const {
  const Render::Step step(render, line_);
  return value(render);
}

void Expression::stands_on(const Expression* part) {
  if (part != nullptr) height_ = std::max(height_, part->height() + 1);
  if (height_ > kMaxHeight) refuse("line {}: expressions nested deeper than {}", line_, kMaxHeight);
}

Arguments CallArguments::evaluate(Render& render) const {
  Arguments values;
  for (const ExpressionPtr& argument : positional) {
    values.positional.push_back(argument->evaluate(render));
  }
  for (const auto& [name, argument] : named) {
    values.named.emplace_back(name, argument->evaluate(render));
  }
  if (star != nullptr) {
    const Elements more(star->evaluate(render), render.budget());
    render.budget().new_list(more.size());
    values.positional.insert(values.positional.end(), more.begin(), more.end());
  }
  if (double_star == nullptr) return values;
  const Value more = double_star->evaluate(render);
  if (!more.is_dict()) refuse("'**' wants a dict, not '{}'", more.type_name());
  render.budget().new_list(more.as_dict().size());
  for (const auto& [name, value] : more.as_dict().members()) {
    if (!name.is_string()) refuse("'**' wants names, not '{}'", name.type_name());
    values.trusted_names = values.trusted_names && all_trusted(name.as_string().text);
    values.named.emplace_back(name.bytes(), value);
  }
  return values;
}

Value FilterCall::apply(Render& render, const Value& input) const {
  if (filter == nullptr) refuse("no filter '{}'", printable(name, 60));
  return filter(render, input, arguments.evaluate(render));
}

Value Name::value(Render& render) const { return render.find(name_); }

ListDisplay::ListDisplay(int line, Sequence::Type type, Expressions items)
    : Expression(line), type_(type), items_(std::move(items)) {
  for (const ExpressionPtr& item : items_) stands_on(item.get());
}

Value ListDisplay::value(Render& render) const {
  render.budget().new_list(items_.size());
  Sequence sequence{.type = type_};
  for (const ExpressionPtr& item : items_) sequence.items.push_back(item->evaluate(render));
  return sequence;
}

DictDisplay::DictDisplay(int line, std::vector<Member> members)
    : Expression(line), members_(std::move(members)) {
  for (const auto& [key, value] : members_) {
    stands_on(key.get());
    stands_on(value.get());
  }
}

Value DictDisplay::value(Render& render) const {
  render.budget().new_list(members_.size());
  std::vector<Value::Member> members;
  for (const auto& [key, value] : members_) {
    Value name = key->evaluate(render);
    members.emplace_back(std::move(name), value->evaluate(render));
  }
  return Value::dict(std::move(members));
}

Attribute::Attribute(int line, ExpressionPtr object, std::string_view name)
    : Expression(line), object_(std::move(object)), name_(name) {
  stands_on(object_.get());
}

Value Attribute::value(Render& render) const {
  return attribute_of(render, object_->evaluate(render), name_);
}

Item::Item(int line, ExpressionPtr object, ExpressionPtr index)
    : Expression(line), object_(std::move(object)), index_(std::move(index)) {
  stands_on(object_.get());
  stands_on(index_.get());
}

Value Item::value(Render& render) const {
  const Value object = object_->evaluate(render);
  return item_of(render, object, index_->evaluate(render));
}

Slice::Slice(int line, ExpressionPtr object, std::vector<ExpressionPtr> bounds)
    : Expression(line), object_(std::move(object)), bounds_(std::move(bounds)) {
  stands_on(object_.get());
  for (const ExpressionPtr& bound : bounds_) stands_on(bound.get());
}

Value Slice::value(Render& render) const {
  const Value object = object_->evaluate(render);
  const auto bound = [&](size_t i) {
    return bounds_[i] == nullptr ? Value(None{}) : bounds_[i]->evaluate(render);
  };
  const Value begin = bound(0), end = bound(1), step = bound(2);
  return slice_of(object, begin, end, step, render.budget());
}

Unary::Unary(int line, Op op, ExpressionPtr operand)
    : Expression(line), op_(op), operand_(std::move(operand)) {
  stands_on(operand_.get());
}

Value Unary::value(Render& render) const {
  const Value operand = operand_->evaluate(render);
  if (op_ == Op::kNot) return !operand.truth();
  return op_ == Op::kMinus ? negative(operand) : positive(operand);
}

Binary::Binary(int line, BinaryOperator op, ExpressionPtr left, ExpressionPtr right)
    : Expression(line), op_(op), left_(std::move(left)), right_(std::move(right)) {
  stands_on(left_.get());
  stands_on(right_.get());
}

Value Binary::value(Render& render) const {
  const Value left = left_->evaluate(render);
  return apply(op_, left, right_->evaluate(render), render.budget());
}

Concatenation::Concatenation(int line, Expressions parts)
    : Expression(line), parts_(std::move(parts)) {
  for (const ExpressionPtr& part : parts_) stands_on(part.get());
}

Value Concatenation::value(Render& render) const {
  MarkedText text;
  for (const ExpressionPtr& part : parts_) {
    append(text, text_of(part->evaluate(render), render.budget()));
  }
  return text;
}

Comparison::Comparison(int line, ExpressionPtr first, std::vector<Operand> rest)
    : Expression(line), first_(std::move(first)), rest_(std::move(rest)) {
  stands_on(first_.get());
  for (const auto& [op, operand] : rest_) stands_on(operand.get());
}

Value Comparison::value(Render& render) const {
  Value left = first_->evaluate(render);
  for (const auto& [op, operand] : rest_) {
    Value right = operand->evaluate(render);
    if (!apply(op, left, right, render.budget())) return false;
    left = std::move(right);
  }
  return true;
}

Logic::Logic(int line, bool is_and, ExpressionPtr left, ExpressionPtr right)
    : Expression(line), is_and_(is_and), left_(std::move(left)), right_(std::move(right)) {
  stands_on(left_.get());
  stands_on(right_.get());
}

Value Logic::value(Render& render) const {
  Value left = left_->evaluate(render);
  return left.truth() == is_and_ ? right_->evaluate(render) : left;
}

Conditional::Conditional(int line, ExpressionPtr condition, ExpressionPtr yes, ExpressionPtr no)
    : Expression(line), condition_(std::move(condition)), yes_(std::move(yes)), no_(std::move(no)) {
  stands_on(condition_.get());
  stands_on(yes_.get());
  stands_on(no_.get());
}

Value Conditional::value(Render& render) const {
  if (condition_->evaluate(render).truth()) return yes_->evaluate(render);
  return no_ == nullptr ? Value() : no_->evaluate(render);
}

namespace {

template <typename Visit>
void for_each_argument(const CallArguments& arguments, Visit visit) {
  for (const ExpressionPtr& argument : arguments.positional) visit(argument.get());
  for (const auto& [name, argument] : arguments.named) visit(argument.get());
  visit(arguments.star.get());
  visit(arguments.double_star.get());
}

}  // namespace

Call::Call(int line, ExpressionPtr callee, CallArguments arguments)
    : Expression(line), callee_(std::move(callee)), arguments_(std::move(arguments)) {
  stands_on(callee_.get());
  for_each_argument(arguments_, [&](const Expression* argument) { stands_on(argument); });
}

Value Call::value(Render& render) const {
  const Value callee = callee_->evaluate(render);
  return render.call(callee, arguments_.evaluate(render));
}

Value Call::evaluate_with(Render& render, Value caller) const {
  const Render::Step step(render, line());
  const Value callee = callee_->evaluate(render);
  Arguments arguments = arguments_.evaluate(render);
  arguments.named.emplace_back("caller", std::move(caller));
  return render.call(callee, arguments);
}

Filtered::Filtered(int line, ExpressionPtr input, FilterCall call)
    : Expression(line), input_(std::move(input)), call_(std::move(call)) {
  stands_on(input_.get());
  for_each_argument(call_.arguments, [&](const Expression* argument) { stands_on(argument); });
}

Value Filtered::value(Render& render) const {
  return call_.apply(render, input_->evaluate(render));
}

Tested::Tested(int line, ExpressionPtr input, std::string_view name, Test test,
               CallArguments arguments)
    : Expression(line),
      input_(std::move(input)),
      name_(name),
      test_(test),
      arguments_(std::move(arguments)) {
  stands_on(input_.get());
  for_each_argument(arguments_, [&](const Expression* argument) { stands_on(argument); });
}

Value Tested::value(Render& render) const {
  if (test_ == nullptr) refuse("no test '{}'", printable(name_, 60));
  const Value input = input_->evaluate(render);
  return test_(render, input, arguments_.evaluate(render));
}

}  // namespace st::jinja

#include "jinja/statements.h"

#include "jinja/access.h"
#include "jinja/loop.h"
#include "jinja/macro.h"
#include "jinja/namespace.h"
#include "jinja/render.h"
#include "jinja/text_of.h"

namespace st::jinja {

Flow Statement::execute(Render& render) const {
  const Render::Step step(render, line_);
  return run(render);
}

Flow execute(const Body& body, Render& render) {
  for (const auto& statement : body) {
    if (const Flow flow = statement->execute(render); flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

void Target::assign(Render& render, const Value& value) const {
  if (!parts.empty()) {
    const Elements elements(value, render.budget());
    if (elements.size() != parts.size()) {
      refuse("{} values for {} names", elements.size(), parts.size());
    }
    for (size_t i = 0; i < parts.size(); ++i) parts[i].assign(render, elements.items()[i]);
  } else if (attribute.empty()) {
    render.set(name, value);
  } else {
    const Value object = render.find(std::make_shared<const std::string>(name));
    auto* space = object.is_object() ? dynamic_cast<Namespace*>(&object.as_object()) : nullptr;
    if (space == nullptr) refuse("'{}' is no namespace", printable(name, 60));
    space->set(attribute, value);
  }
}

Flow Text::run(Render& render) const {
  render.print(text_, true);
  return Flow::kNext;
}

Flow Output::run(Render& render) const {
  const Value value = expression_->evaluate(render);
  if (value.is_string()) {
    render.print(value.as_string().text);
  } else {
    render.print(text_of(value, render.budget()));
  }
  return Flow::kNext;
}

Flow If::run(Render& render) const {
  for (const Branch& branch : branches_) {
    if (branch.condition == nullptr || branch.condition->evaluate(render).truth()) {
      return jinja::execute(branch.body, render);
    }
  }
  return Flow::kNext;
}

Flow For::run(Render& render) const {
  run_over(render, parts_.source->evaluate(render), 0);
  return Flow::kNext;
}

void For::run_over(Render& render, const Value& source, int depth) const {
  Loop::Condition condition;
  if (parts_.condition != nullptr) {
    condition = [this, &render](const Value& element) {
      return render.within_scope([&] {
        parts_.target.assign(render, element);
        return parts_.condition->evaluate(render).truth();
      });
    };
  }
  const auto loop =
      std::make_shared<Loop>(parts_.recursive ? this : nullptr, Elements(source, render.budget()),
                             std::move(condition), depth);
  struct End {
    Loop& loop;
    ~End() { loop.end(); }
  } const end{*loop};

  constexpr int kStepsOfIteration = 4;
  bool completed = false;  // an iteration reached its end: `else` has no turn
  Flow flow = Flow::kNext;
  while (flow != Flow::kBreak) {
    const std::optional<Value> element = loop->next();
    if (!element) break;
    render.budget().steps(kStepsOfIteration);
    flow = render.within_scope([&] {
      parts_.target.assign(render, *element);
      render.set("loop", Value(std::shared_ptr<Object>(loop)));
      return jinja::execute(parts_.body, render);
    });
    completed = completed || flow == Flow::kNext;
  }
  if (!completed) render.within_scope([&] { return jinja::execute(parts_.otherwise, render); });
}

Flow Set::run(Render& render) const {
  target_.assign(render, expression_->evaluate(render));
  return Flow::kNext;
}

Flow Capture::run(Render& render) const {
  Flow flow = Flow::kNext;
  Value value = render.within_scope([&]() -> Value {
    Value inside = render.capture([&] { flow = jinja::execute(body_, render); });
    for (const FilterCall& filter : filters_) inside = filter.apply(render, inside);
    return inside;
  });
  if (flow != Flow::kNext) return flow;
  if (target_) {
    target_->assign(render, value);
  } else {
    render.print(text_of(value, render.budget()));
  }
  return Flow::kNext;
}

Flow DefineMacro::run(Render& render) const {
  render.set(macro_.name,
             Value(std::shared_ptr<Object>(std::make_shared<Macro>(macro_, render.keep_scope()))));
  return Flow::kNext;
}

Flow CallBlock::run(Render& render) const {
  Value caller(std::shared_ptr<Object>(std::make_shared<Macro>(body_, render.keep_scope())));
  render.print(text_of(call_->evaluate_with(render, std::move(caller)), render.budget()));
  return Flow::kNext;
}

Flow Scoped::run(Render& render) const {
  std::vector<Value> values;
  for (const auto& [target, expression] : variables_)
    values.push_back(expression->evaluate(render));
  return render.within_scope([&] {
    for (size_t i = 0; i < values.size(); ++i) variables_[i].first.assign(render, values[i]);
    return jinja::execute(body_, render);
  });
}

}  // namespace st::jinja

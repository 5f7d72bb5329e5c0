// One rendering of a template: its variables, its output, and what it may still cost.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jinja/ast.h"
#include "jinja/budget.h"
#include "jinja/restore.h"
#include "jinja/template.h"

namespace st::jinja {

class Namespace;

// Variables of a body: of the template, an iteration, a macro. Their names are those of the parsed
// template, which outlives it.
class Scope {
 public:
  explicit Scope(std::shared_ptr<Scope> outer) : outer_(std::move(outer)) {}

  const std::shared_ptr<Scope>& outer() const { return outer_; }
  // Of this scope only; nullptr if there is none.
  const Value* find(std::string_view name) const;
  void set(std::string_view name, Value value);

 private:
  std::shared_ptr<Scope> outer_;
  std::vector<std::pair<std::string_view, Value>> variables_;
};

class Render {
 public:
  Render(const Value& context, const RenderOptions& options);
  ~Render();
  Render(const Render&) = delete;
  Render& operator=(const Render&) = delete;

  // Throws Error(kInvalidData) "line N: what is wrong".
  MarkedText run(const Body& body);

  Budget& budget() { return budget_; }
  const std::tm& now() const { return options_.now; }

  // What a name means here: a variable, a value of the context, or a function.
  Value find(const std::shared_ptr<const std::string>& name);
  void set(std::string_view name, Value value) { scope_->set(name, std::move(value)); }

  void print(const MarkedText& text);
  void print(std::string_view text, bool trusted);
  // What `body` prints.
  template <typename Run>
  MarkedText capture(Run&& run) {
    MarkedText captured;
    const Restore redirect(out_, &captured);
    run();
    return captured;
  }

  // Runs with variables of its own, within those of here or of `outer`.
  template <typename Run>
  decltype(auto) within_scope(Run&& run) {
    return within_scope(scope_, std::forward<Run>(run));
  }
  template <typename Run>
  decltype(auto) within_scope(std::shared_ptr<Scope> outer, Run&& run) {
    const Restore inner(scope_, std::make_shared<Scope>(std::move(outer)));
    return run();
  }

  // The variables of here, which live as long as the rendering.
  const std::shared_ptr<Scope>& keep_scope();

  Value call(const Value& callee, const Arguments& arguments);
  // A macro within macros, or a loop that runs itself: not too deep.
  template <typename Run>
  decltype(auto) deeper(Run&& run) {
    const Restore level(calls_, calls_ + 1);
    if (calls_ > budget_.limits().calls) refuse("call depth > {}", budget_.limits().calls);
    return run();
  }

  // A step of evaluation, while it lasts.
  class Step {
   public:
    Step(Render& render, int line);
    ~Step() { --render_.depth_; }
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;

   private:
    Render& render_;
  };

  std::shared_ptr<Namespace> new_namespace();

 private:
  const Value& context_;
  const RenderOptions& options_;
  Budget budget_;
  MarkedText output_;
  MarkedText* out_ = &output_;
  std::shared_ptr<Scope> scope_;
  std::vector<std::shared_ptr<Scope>> kept_;            // that macros were defined in
  std::vector<std::shared_ptr<Namespace>> namespaces_;  // which may hold each other
  int line_ = 1;
  int depth_ = 0;
  int calls_ = 0;
};

}  // namespace st::jinja

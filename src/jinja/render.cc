#include "jinja/render.h"

#include <algorithm>

#include "jinja/globals.h"
#include "jinja/marks.h"
#include "jinja/namespace.h"

namespace st::jinja {
namespace {

constexpr int kMaxDepth = 1000;  // expressions and statements within each other

}  // namespace

const Value* Scope::find(std::string_view name) const {
  for (const auto& [known, value] : variables_) {
    if (known == name) return &value;
  }
  return nullptr;
}

void Scope::set(std::string_view name, Value value) {
  for (auto& [known, old] : variables_) {
    if (known == name) {
      old = std::move(value);
      return;
    }
  }
  variables_.emplace_back(name, std::move(value));
}

Render::Render(const Value& context, const RenderOptions& options)
    : context_(context),
      options_(options),
      budget_(options.limits),
      scope_(std::make_shared<Scope>(nullptr)) {}

Render::~Render() {
  for (const auto& space : namespaces_) space->clear();
}

MarkedText Render::run(const Body& body) {
  try {
    execute(body, *this);
  } catch (const Error& e) {
    throw Error(e.code(), fmt::format("line {}: {}", line_, e.what()));
  }
  return std::move(output_);
}

Value Render::find(const std::shared_ptr<const std::string>& name) {
  for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->outer().get()) {
    if (const Value* value = scope->find(*name)) return *value;
  }
  if (context_.is_dict()) {
    if (const Value* value = context_.as_dict().find(*name)) return *value;
  }
  if (const Value function = find_global(*name); !function.is_undefined()) return function;
  return Value::undefined(name);
}

void Render::print(std::string_view text, bool trusted) {
  budget_.bytes(text.size());
  const size_t limit = budget_.limits().output;
  if (text.size() > limit - std::min(limit, out_->bytes.size())) {
    refuse("output of more than {} bytes", limit);
  }
  out_->append(text, trusted);
}

void Render::print(const MarkedText& text) {
  budget_.items(text.runs.size());
  size_t at = 0;
  for (const MarkedText::Run& run : text.runs) {
    print(std::string_view(text.bytes).substr(at, run.size), run.trusted);
    at += run.size;
  }
}

const std::shared_ptr<Scope>& Render::keep_scope() {
  if (kept_.empty() || kept_.back() != scope_) kept_.push_back(scope_);
  return kept_.back();
}

Value Render::call(const Value& callee, const Arguments& arguments) {
  if (callee.is_undefined()) refuse_undefined(callee);
  if (!callee.is_object()) refuse("'{}' cannot be called", callee.type_name());
  return callee.as_object().call(*this, arguments);
}

Render::Step::Step(Render& render, int line) : render_(render) {
  render.line_ = line;
  render.budget_.steps(1);
  if (render.depth_ == kMaxDepth) refuse("evaluation nested deeper than {}", kMaxDepth);
  ++render.depth_;
}

std::shared_ptr<Namespace> Render::new_namespace() {
  namespaces_.push_back(std::make_shared<Namespace>());
  return namespaces_.back();
}

}  // namespace st::jinja

// A macro as a value, or the body of a call block.
#pragma once

#include "jinja/ast.h"
#include "jinja/render.h"

namespace st::jinja {

class Macro final : public Object {
 public:
  // REQUIRES: `body` outlives the rendering, which keeps `scope`.
  Macro(const MacroBody& body, std::weak_ptr<Scope> scope)
      : body_(body), scope_(std::move(scope)) {}

  std::string_view type_name() const override { return "Macro"; }
  std::string shown() const override;
  std::optional<Value> attribute(Render& render, std::string_view name) override;
  // The text that its body prints.
  Value call(Render& render, const Arguments& arguments) override;

 private:
  void bind(Render& render, const Arguments& arguments) const;

  const MacroBody& body_;
  std::weak_ptr<Scope> scope_;  // of its definition, which may hold this macro
};

}  // namespace st::jinja

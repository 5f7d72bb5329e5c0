// namespace(): the one value that changes.
#pragma once

#include "jinja/object.h"

namespace st::jinja {

class Namespace final : public Object {
 public:
  std::string_view type_name() const override { return "Namespace"; }
  std::string shown() const override { return "<Namespace>"; }
  bool callable() const override { return false; }
  std::optional<Value> attribute(Render& render, std::string_view name) override;

  void set(std::string_view name, Value value);
  void clear() { attributes_.clear(); }

 private:
  std::vector<std::pair<std::string, Value>> attributes_;
};

}  // namespace st::jinja

// The state of a `for`, which its body sees as `loop`.
#pragma once

#include <functional>
#include <optional>

#include "jinja/access.h"
#include "jinja/object.h"
#include "jinja/statements.h"

namespace st::jinja {

class Loop final : public Object {
 public:
  // Says whether an element is taken; empty: all are.
  using Condition = std::function<bool(const Value&)>;

  Loop(const For* recursive, Elements elements, Condition condition, int depth)
      : recursive_(recursive),
        elements_(std::move(elements)),
        condition_(std::move(condition)),
        depth_(depth) {}

  // Goes on to the next element, which the condition decides about only now.
  std::optional<Value> next();
  // What the loop ran on may be gone from now on.
  void end();

  std::string_view type_name() const override { return "LoopContext"; }
  std::string shown() const override { return "<LoopContext>"; }

  std::optional<Value> attribute(Render& render, std::string_view name) override;
  Value call(Render& render, const Arguments& arguments) override;
  Value cycle(const Arguments& arguments) const;
  bool changed(Render& render, const Arguments& arguments);

 private:
  std::optional<Value> fetch();
  const std::optional<Value>& peek();
  int64_t length();

  const For* recursive_;  // nullptr if it may not run itself
  Elements elements_;
  Condition condition_;
  int depth_;  // 0 unless it runs within itself
  size_t at_ = 0;
  int64_t index_ = -1;
  std::optional<Value> previous_, current_, after_;
  std::optional<int64_t> length_;
  std::optional<Value> last_changed_;
  bool ended_ = false;
};

}  // namespace st::jinja

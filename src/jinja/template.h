// A Jinja template, as Hugging Face's transformers renders templates of chats: blocks are trimmed,
// nothing is escaped, values cannot be changed, {% break %}, {% continue %} and {% generation %}
// exist, `tojson` writes what json.dumps() writes. docs/design/templates.md says what is not there.
//
// Whatever a template or its context holds, both functions end soon, within a bounded stack and
// bounded memory.
#pragma once

#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include "jinja/budget.h"
#include "jinja/value.h"
#include "text/marked_text.h"

namespace st::jinja {

struct RenderOptions {
  std::tm now = {};  // what strftime_now() tells; tm_wday and tm_yday count
  Limits limits = {};
};

class Template {
 public:
  // `source` is UTF-8. Throws Error(kInvalidData) "line N: what is wrong": syntax, unknown tags,
  // filters and tests, nesting deeper than 200 levels, more than 512 KiB.
  static Template compile(std::string_view source);

  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;
  ~Template();

  // The text for a context, a dict of names and values. May be called from several threads at once.
  // Throws Error(kInvalidData) "line N: what is wrong" if the template fails, or raises an
  // exception, or goes beyond a limit.
  MarkedText render(const Value& context, const RenderOptions& options) const;

 private:
  struct Program;
  explicit Template(std::unique_ptr<const Program> program);

  std::unique_ptr<const Program> program_;
};

}  // namespace st::jinja

#include "jinja/template.h"

#include "jinja/parser.h"
#include "jinja/render.h"

namespace st::jinja {

struct Template::Program {
  Body body;
};

Template::Template(std::unique_ptr<const Program> program) : program_(std::move(program)) {}
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::~Template() = default;

Template Template::compile(std::string_view source) {
  constexpr size_t kMaxSource = size_t{512} << 10;
  if (source.size() > kMaxSource) {
    refuse("a template of {} bytes, at most {}", source.size(), kMaxSource);
  }
  const std::string plain = with_plain_lines(source);
  Parser parser(read_tokens(plain));
  return Template(std::make_unique<const Program>(parser.parse()));
}

MarkedText Template::render(const Value& context, const RenderOptions& options) const {
  return Render(context, options).run(program_->body);
}

}  // namespace st::jinja

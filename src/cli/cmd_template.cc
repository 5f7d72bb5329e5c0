#include "base/error.h"
#include "base/file.h"
#include "cli/args.h"
#include "cli/streams.h"
#include "jinja/template.h"

namespace st {
namespace {

std::tm local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  return parts;
}

// A template by itself, with a context that is handed to it as it is.
void render_file(const TemplateArgs& args) {
  constexpr uint64_t kMaxContext = uint64_t{64} << 20;
  const std::string source = read_text_file(args.template_file);
  const auto program = with_context(printable_path(args.template_file),
                                    [&] { return jinja::Template::compile(source); });
  const auto context = with_context(printable_path(args.context), [&] {
    auto value = jinja::Value::from_json(read_text_file(args.context, kMaxContext), false);
    if (!value.is_dict()) fail(ErrorCode::kInvalidData, "want a JSON object");
    return value;
  });
  write_out(with_context(printable_path(args.template_file), [&] {
              return program.render(context, {.now = args.now ? *args.now : local_time()});
            }).bytes);
}

}  // namespace

int execute(const TemplateArgs& args) {
  render_file(args);
  return kExitOk;
}

}  // namespace st

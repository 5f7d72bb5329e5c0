// Bytes as a template, which is compiled and rendered without a context.
#include "fuzz.h"
#include "jinja/template.h"
#include "text/utf8.h"

using namespace st;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::allow_errors([&] {
    const auto program = jinja::Template::compile(fuzz::text_of(data, size));
    const MarkedText text = program.render(jinja::Value::dict({}), {.limits = {.steps = 100'000}});
    fuzz::require(valid_utf8_prefix(text.bytes) == text.bytes.size());
    size_t marked = 0;
    for (const MarkedText::Run& run : text.runs) marked += run.size;
    fuzz::require(marked == text.bytes.size());
  });
  return 0;
}

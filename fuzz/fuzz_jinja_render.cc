// A template, a NUL, and the JSON of its context, none of which is trusted: nothing may be in the
// text that is trusted and looks as if it came from there.
#include "fuzz.h"
#include "jinja/template.h"

using namespace st;

namespace {

// A letter that only a context can bring in, unless the source has it, or its capital, or an
// escape.
constexpr std::string_view kForeign = "\xC3\x9F";

bool may_make_foreign(std::string_view source) {
  return source.find_first_of("\\\xC3\xE1") != source.npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view all = fuzz::text_of(data, size);
  const size_t nul = std::min(all.find('\0'), all.size());
  const std::string_view source = all.substr(0, nul);
  fuzz::allow_errors([&] {
    const auto program = jinja::Template::compile(source);
    const std::string_view json = nul < all.size() ? all.substr(nul + 1) : "{}";
    const auto context = jinja::Value::from_json(json, false);
    const MarkedText text = program.render(context, {.limits = {.steps = 100'000}});
    size_t at = 0;
    for (const MarkedText::Run& run : text.runs) {
      const auto part = std::string_view(text.bytes).substr(at, run.size);
      const bool foreign = part.find(kForeign) != part.npos && !may_make_foreign(source);
      fuzz::require(!run.trusted || !foreign);
      at += run.size;
    }
    fuzz::require(at == text.bytes.size());
  });
  return 0;
}

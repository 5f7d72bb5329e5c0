#include "jinja/globals.h"

#include <algorithm>
#include <array>

#include "jinja/access.h"
#include "jinja/marks.h"
#include "jinja/namespace.h"
#include "jinja/render.h"
#include "jinja/strftime.h"
#include "jinja/text_of.h"

namespace st::jinja {
namespace {

Value range(Render& render, const Value&, const Arguments& arguments) {
  constexpr int64_t kMaxRange = 100'000;  // the sandbox's
  const Parameters parameters("range", arguments, {"start", "stop", "step"});
  parameters.required(0);
  const bool only_stop = !parameters.has(1);
  const int64_t start = only_stop ? 0 : parameters.integer(0, 0);
  const int64_t stop = parameters.integer(only_stop ? 0 : 1, 0);
  const int64_t step = parameters.integer(2, 1);
  if (step == 0) refuse("range: step 0");
  // Of differences that may have 65 bits.
  const auto distance = static_cast<long double>(stop) - static_cast<long double>(start);
  const long double count = distance / static_cast<long double>(step);
  if (count > kMaxRange) refuse("range of more than {} elements", kMaxRange);
  Sequence sequence{.type = Sequence::Type::kRange};
  sequence.shown = step == 1 ? fmt::format("range({}, {})", start, stop)
                             : fmt::format("range({}, {}, {})", start, stop, step);
  render.budget().new_list(static_cast<uint64_t>(std::max(count, 0.0L)) + 1);
  int64_t value = start;
  while (step > 0 ? value < stop : value > stop) {
    sequence.items.emplace_back(value);
    if (__builtin_add_overflow(value, step, &value)) break;
  }
  return sequence;
}

std::vector<Value::Member> members_of(Render& render, const Arguments& arguments,
                                      std::string_view callee) {
  std::vector<Value::Member> members;
  if (arguments.positional.size() > 1) refuse("{}: at most 1 argument without name", callee);
  if (!arguments.positional.empty()) members = pairs_of(render, arguments.positional[0], callee);
  for (const auto& [name, value] : arguments.named) {
    members.emplace_back(Value::text(name, arguments.trusted_names), value);
  }
  render.budget().new_list(members.size());
  return members;
}

Value dict(Render& render, const Value&, const Arguments& arguments) {
  return Value::dict(members_of(render, arguments, "dict"));
}

Value make_namespace(Render& render, const Value&, const Arguments& arguments) {
  const auto space = render.new_namespace();
  for (const auto& [name, value] : members_of(render, arguments, "namespace")) {
    if (!name.is_string()) refuse("namespace: '{}' is no name", name.type_name());
    space->set(name.bytes(), value);
  }
  return std::shared_ptr<Object>(space);
}

Value raise_exception(Render& render, const Value&, const Arguments& arguments) {
  const Parameters parameters("raise_exception", arguments, {"message"});
  const std::string message = text_of(parameters.required(0), render.budget()).bytes;
  refuse("the template says: {}", printable(message, 400));
}

Value strftime_now(Render& render, const Value&, const Arguments& arguments) {
  const Parameters parameters("strftime_now", arguments, {"format"});
  const String& format = parameters.string(0);
  return marked(format_time(format.text.bytes, render.now(), render.budget()),
                all_trusted(format.text));
}

constexpr auto kGlobals = std::to_array<std::pair<std::string_view, Function::Body>>({
    {"dict", dict},
    {"namespace", make_namespace},
    {"raise_exception", raise_exception},
    {"range", range},
    {"strftime_now", strftime_now},
});

}  // namespace

Value find_global(std::string_view name) {
  const auto found =
      std::ranges::find(kGlobals, name, &std::pair<std::string_view, Function::Body>::first);
  if (found == kGlobals.end()) return {};
  return std::shared_ptr<Object>(std::make_shared<Function>(found->first, found->second));
}

}  // namespace st::jinja

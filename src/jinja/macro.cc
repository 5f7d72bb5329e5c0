#include "jinja/macro.h"

#include <algorithm>

namespace st::jinja {

std::string Macro::shown() const { return fmt::format("<Macro '{}'>", body_.name); }

std::optional<Value> Macro::attribute(Render&, std::string_view name) {
  if (name == "name") return Value::text(body_.name, true);
  if (name != "arguments") return std::nullopt;
  std::vector<Value> names;
  for (const std::string& parameter : body_.parameters)
    names.push_back(Value::text(parameter, true));
  return Value::tuple(std::move(names));
}

Value Macro::call(Render& render, const Arguments& arguments) {
  return render.deeper([&]() -> Value {
    return render.within_scope(scope_.lock(), [&]() -> Value {
      bind(render, arguments);
      return render.capture([&] { execute(body_.body, render); });
    });
  });
}

void Macro::bind(Render& render, const Arguments& arguments) const {
  const std::string name = printable(body_.name, 60);
  const auto& positional = arguments.positional;
  std::vector<Value::Member> unknown;  // named arguments that are no parameters
  Value caller = Value::undefined("caller");
  for (const auto& [key, value] : arguments.named) {
    const auto parameter = std::ranges::find(body_.parameters, key);
    const auto i = static_cast<size_t>(parameter - body_.parameters.begin());
    if (parameter == body_.parameters.end() && key == "caller" && body_.uses_caller) {
      caller = value;
    } else if (parameter == body_.parameters.end() || i < positional.size()) {
      unknown.emplace_back(Value::text(key, arguments.trusted_names), value);
    }
  }
  if (!unknown.empty() && !body_.uses_kwargs) {
    refuse("macro '{}' takes no argument '{}'", name, printable(unknown[0].first.bytes(), 60));
  }
  if (positional.size() > body_.parameters.size() && !body_.uses_varargs) {
    refuse("macro '{}' takes at most {} arguments", name, body_.parameters.size());
  }

  const size_t without_default = body_.parameters.size() - body_.defaults.size();
  for (size_t i = 0; i < body_.parameters.size(); ++i) {
    const std::string& parameter = body_.parameters[i];
    const auto given =
        std::ranges::find(arguments.named, parameter, &std::pair<std::string, Value>::first);
    if (i < positional.size()) {
      render.set(parameter, positional[i]);
    } else if (given != arguments.named.end()) {
      render.set(parameter, given->second);
    } else if (i >= without_default) {
      render.set(parameter, body_.defaults[i - without_default]->evaluate(render));
    } else {
      render.set(parameter, Value::undefined(parameter));
    }
  }
  if (body_.uses_caller &&
      std::ranges::find(body_.parameters, "caller") == body_.parameters.end()) {
    render.set("caller", std::move(caller));
  }
  if (body_.uses_kwargs) render.set("kwargs", Value::dict(std::move(unknown)));
  if (body_.uses_varargs) {
    const auto count = std::min(positional.size(), body_.parameters.size());
    render.set("varargs", Value::tuple({positional.begin() + static_cast<std::ptrdiff_t>(count),
                                        positional.end()}));
  }
}

}  // namespace st::jinja

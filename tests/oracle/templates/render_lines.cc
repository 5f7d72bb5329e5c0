// Our side of compare.py: render_lines
//
// Reads from standard input, a line each: a template as a JSON string, then contexts, which are
// objects; then perhaps the next template. For each template one line is printed, null or, if it is
// refused, {"error": why}; for each context its text as a JSON string, or such an object.
// strftime_now() tells 2026-11-05 07:08:09.
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "jinja/template.h"

namespace {

using nlohmann::json;

// What `make` returns, or {"error": ...}.
template <typename Make>
json answer(Make&& make) {
  try {
    return make();
  } catch (const st::Error& e) {
    return {{"error", e.what()}};
  }
}

std::tm fixed_time() {
  std::tm time{};
  time.tm_year = 2026 - 1900, time.tm_mon = 10, time.tm_mday = 5;
  time.tm_hour = 7, time.tm_min = 8, time.tm_sec = 9;
  time.tm_wday = 4, time.tm_yday = 308;
  return time;
}

}  // namespace

int main() {
  using st::jinja::Template;
  std::optional<Template> compiled;
  for (std::string line; std::getline(std::cin, line);) {
    const json printed = answer([&]() -> json {
      if (line.starts_with('"')) {
        compiled.reset();
        compiled.emplace(Template::compile(json::parse(line).get<std::string>()));
        return nullptr;
      }
      if (!compiled) throw st::Error(st::ErrorCode::kInvalidData, "no template");
      const auto context = st::jinja::Value::from_json(line, false);
      return compiled->render(context, {.now = fixed_time()}).bytes;
    });
    std::cout << printed.dump() << '\n';
  }
  return 0;
}

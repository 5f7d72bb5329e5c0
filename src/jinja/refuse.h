// How a template is refused: by an Error whose message the renderer or parser puts a line before.
#pragma once

#include "base/error.h"

namespace st::jinja {

template <typename... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
  fail(ErrorCode::kInvalidData, format, std::forward<Args>(args)...);
}

}  // namespace st::jinja

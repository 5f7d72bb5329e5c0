// strftime() in the C locale.
#pragma once

#include <ctime>
#include <string>
#include <string_view>

#include "jinja/budget.h"

namespace st::jinja {

// A conversion that is unknown stays as it is. Throws Error(kInvalidData) if `time` is no date.
std::string format_time(std::string_view format, const std::tm& time, Budget& budget);

}  // namespace st::jinja

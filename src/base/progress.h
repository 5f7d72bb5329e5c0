// How work that takes long tells its caller how far it is. Drawing that is the command line's
// business.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace st {

// Called with the name of the stage and the bytes done of the bytes expected; from one thread only.
// May be empty. May throw Error(kCancelled) to stop the work.
using Progress = std::function<void(std::string_view stage, uint64_t done, uint64_t total)>;

}  // namespace st

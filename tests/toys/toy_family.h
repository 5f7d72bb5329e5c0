#pragma once

#include "arch/architecture.h"

namespace st {

extern const Architecture kToy;

}  // namespace st

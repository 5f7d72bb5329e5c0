#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace st {

constexpr auto kFixed16 = static_cast<DType>(1000);  // a value is an integer / 65536
extern int64_t toy_rows_multiplied;                  // by the kernel of the table "with_kernel"

}  // namespace st

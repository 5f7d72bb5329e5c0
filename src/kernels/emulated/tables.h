// Tables for instructions that the machine at hand may lack, in terms of those it has.
#pragma once

#include "kernels/kernels.h"

namespace st {

extern const KernelTable kEmulatedAvxVnni;
extern const KernelTable kEmulatedAvx512;

}  // namespace st

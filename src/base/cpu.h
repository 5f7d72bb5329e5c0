// What this CPU can do, asked once at run time: one binary runs everywhere and picks its kernels.
#pragma once

#include <cstdint>
#include <string>

namespace st {

enum CpuFeature : uint64_t {
  kCpuAvx2 = 1 << 0,  // AVX2 + FMA + F16C
  kCpuAvxVnni = 1 << 1,
  kCpuAvx512 = 1 << 2,  // F + BW + DQ + VL
  kCpuAvx512Vnni = 1 << 3,
  kCpuAvx512Bf16 = 1 << 4,
  kCpuNeon = 1 << 8,
  kCpuDotprod = 1 << 9,  // sdot: four products of bytes per lane
  kCpuI8mm = 1 << 10,    // smmla: 2 x 8 by 8 x 2 bytes
  kCpuFp16 = 1 << 11,    // half-precision arithmetic
};

// Set of CpuFeature bits that this CPU and operating system support.
uint64_t cpu_features();

// "avx2 avx512 ..." for humans.
std::string cpu_feature_names(uint64_t features);

}  // namespace st

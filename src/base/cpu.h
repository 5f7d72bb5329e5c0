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

// What an x86 CPU says of itself: registers of the CPUID instruction, by leaf and subleaf. A leaf
// beyond the largest one means nothing, whatever is in its register.
struct X86Words {
  uint32_t max_leaf = 0;
  uint32_t leaf1_ecx = 0;
  uint32_t leaf7_max_subleaf = 0;
  uint32_t leaf7_ebx = 0, leaf7_ecx = 0;
  uint32_t leaf7_1_eax = 0;
  uint64_t xcr0 = 0;  // the registers that the operating system saves; 0: it does not say
};

// What the kernel of an ARM machine says that all its cores have: AT_HWCAP and AT_HWCAP2.
struct ArmWords {
  uint64_t hwcap = 0, hwcap2 = 0;
};

// Sets of CpuFeature bits. Both are compiled everywhere, so that both are tested everywhere.
uint64_t features_of(const X86Words& words);
uint64_t features_of(const ArmWords& words);

// The set of this CPU and operating system.
uint64_t cpu_features();

// "avx2 avx512 ..." for humans.
std::string cpu_feature_names(uint64_t features);

}  // namespace st

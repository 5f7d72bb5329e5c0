#include "base/cpu.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace st {
#if defined(__aarch64__)
namespace {

// Bits of the kernel's promise to user space; they never change. Older headers lack some names.
constexpr uint64_t kHwcapAsimd = 1 << 1;
constexpr uint64_t kHwcapAsimdHp = 1 << 10;
constexpr uint64_t kHwcapAsimdDp = 1 << 20;
constexpr uint64_t kHwcap2I8mm = 1 << 13;

}  // namespace
#endif

uint64_t cpu_features() {
  uint64_t features = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();  // also checks that the operating system saves the wide registers
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("f16c")) {
    features |= kCpuAvx2;
    if (__builtin_cpu_supports("avxvnni")) features |= kCpuAvxVnni;
  }
  if ((features & kCpuAvx2) && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    features |= kCpuAvx512;
    if (__builtin_cpu_supports("avx512vnni")) features |= kCpuAvx512Vnni;
    if (__builtin_cpu_supports("avx512bf16")) features |= kCpuAvx512Bf16;
  }
#elif defined(__aarch64__)
  // What all cores of the machine have in common; asks no file, so that it works in any container.
  const uint64_t hwcap = getauxval(AT_HWCAP);
  if (hwcap & kHwcapAsimd) {
    features |= kCpuNeon;
    if (hwcap & kHwcapAsimdDp) features |= kCpuDotprod;
    if (hwcap & kHwcapAsimdHp) features |= kCpuFp16;
    if (getauxval(AT_HWCAP2) & kHwcap2I8mm) features |= kCpuI8mm;
  }
#endif
  return features;
}

std::string cpu_feature_names(uint64_t features) {
  struct Name {
    uint64_t bit;
    const char* name;
  };
  constexpr Name kNames[] = {{kCpuAvx2, "avx2"},
                             {kCpuAvxVnni, "avxvnni"},
                             {kCpuAvx512, "avx512"},
                             {kCpuAvx512Vnni, "avx512vnni"},
                             {kCpuAvx512Bf16, "avx512bf16"},
                             {kCpuNeon, "neon"},
                             {kCpuDotprod, "dotprod"},
                             {kCpuI8mm, "i8mm"},
                             {kCpuFp16, "fp16"}};
  std::string text;
  for (const Name& entry : kNames) {
    if (features & entry.bit) text += (text.empty() ? "" : " ") + std::string(entry.name);
  }
  return text.empty() ? "none" : text;
}

}  // namespace st

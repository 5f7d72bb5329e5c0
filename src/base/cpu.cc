#include "base/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace st {
namespace {

constexpr bool has(uint64_t word, int bit) { return (word >> bit & 1) != 0; }
constexpr bool has_all(uint64_t word, uint64_t bits) { return (word & bits) == bits; }

// Bits of XCR0: halves of the vectors, masks, the other parts of the wide ones.
constexpr uint64_t kSavesYmm = 0b110;
constexpr uint64_t kSavesZmm = 0b1110'0110;

#if defined(__x86_64__)

uint64_t saved_registers() {
  uint32_t low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low | uint64_t{high} << 32;
}

X86Words read_words() {
  X86Words words{.max_leaf = __get_cpuid_max(0, nullptr)};
  uint32_t a = 0, b = 0, c = 0, d = 0;
  if (words.max_leaf >= 1) {
    __cpuid(1, a, b, words.leaf1_ecx, d);
    if (has(words.leaf1_ecx, 27)) words.xcr0 = saved_registers();
  }
  if (words.max_leaf >= 7) {
    __cpuid_count(7, 0, words.leaf7_max_subleaf, words.leaf7_ebx, words.leaf7_ecx, d);
    if (words.leaf7_max_subleaf >= 1) __cpuid_count(7, 1, words.leaf7_1_eax, b, c, d);
  }
  return words;
}

#elif defined(__aarch64__)

// Asks no file, so that it works in any container.
ArmWords read_words() { return {.hwcap = getauxval(AT_HWCAP), .hwcap2 = getauxval(AT_HWCAP2)}; }

#endif

}  // namespace

// Bits as in Intel's and AMD's manuals. Wide registers count if the operating system saves them:
// else their halves change whenever another thread runs.
uint64_t features_of(const X86Words& words) {
  if (words.max_leaf < 7 || !has_all(words.xcr0, kSavesYmm)) return 0;
  const bool fma = has(words.leaf1_ecx, 12), avx = has(words.leaf1_ecx, 28),
             f16c = has(words.leaf1_ecx, 29), avx2 = has(words.leaf7_ebx, 5);
  if (!(fma && avx && f16c && avx2)) return 0;
  const uint32_t more = words.leaf7_max_subleaf >= 1 ? words.leaf7_1_eax : 0;
  uint64_t features = kCpuAvx2;
  if (has(more, 4)) features |= kCpuAvxVnni;
  const bool f = has(words.leaf7_ebx, 16), dq = has(words.leaf7_ebx, 17),
             bw = has(words.leaf7_ebx, 30), vl = has(words.leaf7_ebx, 31);
  if (f && dq && bw && vl && has_all(words.xcr0, kSavesZmm)) {
    features |= kCpuAvx512;
    if (has(words.leaf7_ecx, 11)) features |= kCpuAvx512Vnni;
    if (has(more, 5)) features |= kCpuAvx512Bf16;
  }
  return features;
}

// Bits of the kernel's promise to user space, which never change.
uint64_t features_of(const ArmWords& words) {
  if (!has(words.hwcap, 1)) return 0;
  uint64_t features = kCpuNeon;
  if (has(words.hwcap, 10)) features |= kCpuFp16;
  if (has(words.hwcap, 20)) features |= kCpuDotprod;
  if (has(words.hwcap2, 13)) features |= kCpuI8mm;
  return features;
}

uint64_t cpu_features() {
#if defined(__x86_64__) || defined(__aarch64__)
  return features_of(read_words());
#else
  return 0;
#endif
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

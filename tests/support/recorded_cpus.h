// For tests: what CPUs that we do not have say of themselves, and what is to become of it.
//
// Where the bits come from. "measured": read on such a machine. All others are derived: each has
// the bits of the instruction sets that its maker documents (Intel's product pages and
// "Architecture Instruction Set Extensions", AMD's "Software Optimization Guide" of the family,
// Arm's Technical Reference Manuals; which bit is which: the manuals of the CPUID instruction, and
// Linux' Documentation/arch/arm64/elf_hwcaps.rst), and no others, as no other is looked at.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "base/cpu.h"

namespace st::testkit {

constexpr uint32_t bits(std::initializer_list<int> list) {
  uint32_t word = 0;
  for (const int bit : list) word |= uint32_t{1} << bit;
  return word;
}

// CPUID.1.ECX: FMA, OSXSAVE, AVX, F16C. CPUID.7.0.EBX: AVX2, then AVX-512 F, DQ, BW, VL.
inline constexpr uint32_t kAvxWords = bits({12, 27, 28, 29});
inline constexpr uint32_t kAvx2Word = bits({5});
inline constexpr uint32_t kAvx512Words = bits({5, 16, 17, 30, 31});
inline constexpr uint32_t kVnni512 = bits({11});                 // CPUID.7.0.ECX
inline constexpr uint32_t kVnni = bits({4}), kBf16 = bits({5});  // CPUID.7.1.EAX
inline constexpr uint64_t kXcr0Avx = 0x7, kXcr0Avx512 = 0xE7;

inline constexpr uint64_t kAllAvx512 = kCpuAvx2 | kCpuAvx512 | kCpuAvx512Vnni;

struct RecordedX86 {
  const char* name;
  X86Words words;
  uint64_t features;
  std::string_view kernels;  // usable, best first
};

// Largest leaf, 1.ECX, largest subleaf of 7, 7.0.EBX, 7.0.ECX, 7.1.EAX, XCR0.
inline constexpr RecordedX86 kRecordedX86[] = {
    // Intel. Raptor Lake and Gracemont have AVX-VNNI, and no AVX-512.
    {"Core i9-14900",
     {0x20, kAvxWords, 1, kAvx2Word, 0, kVnni, kXcr0Avx},
     kCpuAvx2 | kCpuAvxVnni,
     "avxvnni avx2 scalar"},
    {"N100",
     {0x20, kAvxWords, 1, kAvx2Word, 0, kVnni, kXcr0Avx},
     kCpuAvx2 | kCpuAvxVnni,
     "avxvnni avx2 scalar"},
    {"Xeon 6 with P-cores (Granite Rapids)",
     {0x24, kAvxWords, 1, kAvx512Words, kVnni512, kVnni | kBf16, kXcr0Avx512},
     kAllAvx512 | kCpuAvxVnni | kCpuAvx512Bf16,
     "avx512 avxvnni avx2 scalar"},
    {"Xeon 6 with E-cores (Sierra Forest)",
     {0x24, kAvxWords, 1, kAvx2Word, 0, kVnni, kXcr0Avx},
     kCpuAvx2 | kCpuAvxVnni,
     "avxvnni avx2 scalar"},
    {"Xeon Scalable of 2017 (Skylake-SP): AVX-512 without VNNI",
     {0x16, kAvxWords, 0, kAvx512Words, 0, 0, kXcr0Avx512},
     kCpuAvx2 | kCpuAvx512,
     "avx2 scalar"},
    {"Core i7-2600 (Sandy Bridge): AVX, neither AVX2 nor FMA nor F16C",
     {0xD, bits({27, 28}), 0, 0, 0, 0, kXcr0Avx},
     0,
     "scalar"},
    {"Core i7-3770 (Ivy Bridge): F16C, neither AVX2 nor FMA",
     {0xD, bits({27, 28, 29}), 0, 0, 0, 0, kXcr0Avx},
     0,
     "scalar"},
    {"Celeron N4000 (Goldmont Plus): no AVX", {0x18, bits({27}), 0, 0, 0, 0, 0x3}, 0, "scalar"},
    // AMD. Zen 4 has AVX-512 with VNNI, Zen 5 AVX-VNNI too.
    {"Zen 2", {0x10, kAvxWords, 0, kAvx2Word, 0, 0, kXcr0Avx}, kCpuAvx2, "avx2 scalar"},
    {"Zen 3", {0x10, kAvxWords, 0, kAvx2Word, 0, 0, kXcr0Avx}, kCpuAvx2, "avx2 scalar"},
    {"EPYC, Zen 3, in a virtual machine of KVM (measured)",
     {0xD, 0xFFFA3203, 0, 0x219C07AB, 0x00400684, 0, 0x7},
     kCpuAvx2,
     "avx2 scalar"},
    {"Zen 4",
     {0x10, kAvxWords, 1, kAvx512Words, kVnni512, kBf16, kXcr0Avx512},
     kAllAvx512 | kCpuAvx512Bf16,
     "avx512 avx2 scalar"},
    {"Zen 5",
     {0x10, kAvxWords, 1, kAvx512Words, kVnni512, kVnni | kBf16, kXcr0Avx512},
     kAllAvx512 | kCpuAvxVnni | kCpuAvx512Bf16,
     "avx512 avxvnni avx2 scalar"},
    // Traps: made up from the rules.
    {"Zen 5 under a system that saves no masks and no wide registers",
     {0x10, kAvxWords, 1, kAvx512Words, kVnni512, kVnni | kBf16, kXcr0Avx},
     kCpuAvx2 | kCpuAvxVnni,
     "avxvnni avx2 scalar"},
    {"Zen 5 under a system that saves wide registers but no masks",
     {0x10, kAvxWords, 1, kAvx512Words, kVnni512, kVnni | kBf16, 0xC7},
     kCpuAvx2 | kCpuAvxVnni,
     "avxvnni avx2 scalar"},
    {"Zen 5 under a system that saves the lower 16 wide registers",
     {0x10, kAvxWords, 1, kAvx512Words, kVnni512, kVnni | kBf16, 0x67},
     kCpuAvx2 | kCpuAvxVnni,
     "avxvnni avx2 scalar"},
    {"Zen 5 under a system that saves SSE registers",
     {0x10, kAvxWords, 1, kAvx512Words, kVnni512, kVnni | kBf16, 0x3},
     0,
     "scalar"},
    {"Zen 5 under a system that does not say what it saves",
     {0x10, kAvxWords & ~bits({27}), 1, kAvx512Words, kVnni512, kVnni | kBf16, 0},
     0,
     "scalar"},
    {"Core i9-14900 in a virtual machine that hides AVX-VNNI",
     {0x20, kAvxWords, 1, kAvx2Word, 0, 0, kXcr0Avx},
     kCpuAvx2,
     "avx2 scalar"},
    {"Core i9-14900 in a virtual machine without subleaf 1, whose register repeats another",
     {0x20, kAvxWords, 0, kAvx2Word, 0, 0xFFFFFFFF, kXcr0Avx},
     kCpuAvx2,
     "avx2 scalar"},
    {"Zen 5 in a virtual machine whose leaves end before 7, and repeat the last one",
     {0x6, kAvxWords, 1, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, kXcr0Avx512},
     0,
     "scalar"},
    {"Zen 5 in a virtual machine that hides AVX-512 VL",
     {0x10, kAvxWords, 1, kAvx512Words & ~bits({31}), kVnni512, kVnni | kBf16, kXcr0Avx512},
     kCpuAvx2 | kCpuAvxVnni,
     "avxvnni avx2 scalar"},
    {"Zen 5 in a virtual machine that hides FMA",
     {0x10, kAvxWords & ~bits({12}), 1, kAvx512Words, kVnni512, kVnni | kBf16, kXcr0Avx512},
     0,
     "scalar"},
};

struct RecordedArm {
  const char* name;
  ArmWords words;
  uint64_t features;
  std::string_view kernels;
};

// HWCAP: fp, asimd, fphp, asimdhp, asimddp. HWCAP2: i8mm.
inline constexpr uint64_t kHwArm8 = bits({0, 1}), kHwArm82 = bits({0, 1, 9, 10, 20});
inline constexpr uint64_t kHw2I8mm = bits({13});
inline constexpr uint64_t kArm82 = kCpuNeon | kCpuFp16 | kCpuDotprod;

inline constexpr RecordedArm kRecordedArm[] = {
    {"Cortex-A53", {kHwArm8, 0}, kCpuNeon, "neon scalar"},
    {"Cortex-A72", {kHwArm8, 0}, kCpuNeon, "neon scalar"},
    {"Cortex-A55", {kHwArm82, 0}, kArm82, "dotprod neon scalar"},
    // As published for the Raspberry Pi 5: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp
    // asimdhp cpuid asimdrdm lrcpc dcpop asimddp.
    {"Cortex-A76", {0x119FFF, 0}, kArm82, "dotprod neon scalar"},
    {"Snapdragon 8 Elite (Oryon)",
     {kHwArm82, kHw2I8mm},
     kArm82 | kCpuI8mm,
     "i8mm dotprod neon scalar"},
    // Traps: made up from the rules.
    {"cores of one machine with half precision but no dot products",
     {bits({0, 1, 9, 10}), 0},
     kCpuNeon | kCpuFp16,
     "neon scalar"},
    {"matrix products without dot products",
     {kHwArm8, kHw2I8mm},
     kCpuNeon | kCpuI8mm,
     "neon scalar"},
    {"a kernel that tells nothing", {0, 0}, 0, "scalar"},
    {"no vectors", {bits({0, 20}), kHw2I8mm}, 0, "scalar"},
};

}  // namespace st::testkit

#include "base/cpu.h"

#include <gtest/gtest.h>

#include "support/recorded_cpus.h"

namespace st {
namespace {

using namespace testkit;

TEST(CpuFeatures, OfRecordedX86) {
  for (const RecordedX86& cpu : kRecordedX86) {
    EXPECT_EQ(cpu_feature_names(features_of(cpu.words)), cpu_feature_names(cpu.features))
        << cpu.name;
  }
}

TEST(CpuFeatures, OfRecordedArm) {
  for (const RecordedArm& cpu : kRecordedArm) {
    EXPECT_EQ(cpu_feature_names(features_of(cpu.words)), cpu_feature_names(cpu.features))
        << cpu.name;
  }
}

// No bit that is not looked at changes anything, and each one that is does.
TEST(CpuFeatures, OfSingleBits) {
  const X86Words all{0x20, ~0u, 1, ~0u, ~0u, ~0u, ~uint64_t{0}};
  const uint64_t everything = features_of(all);
  EXPECT_EQ(cpu_feature_names(everything), "avx2 avxvnni avx512 avx512vnni avx512bf16");
  const auto deciding = [&]<typename Word>(Word X86Words::* word, int bits) {
    uint64_t found = 0;
    for (int bit = 0; bit < bits; ++bit) {
      X86Words without = all;
      without.*word &= ~(Word{1} << bit);
      if (features_of(without) != everything) found |= uint64_t{1} << bit;
    }
    return found;
  };
  EXPECT_EQ(deciding(&X86Words::leaf1_ecx, 32), bits({12, 28, 29}));
  EXPECT_EQ(deciding(&X86Words::leaf7_ebx, 32), kAvx512Words);
  EXPECT_EQ(deciding(&X86Words::leaf7_ecx, 32), kVnni512);
  EXPECT_EQ(deciding(&X86Words::leaf7_1_eax, 32), kVnni | kBf16);
  EXPECT_EQ(deciding(&X86Words::xcr0, 64), 0xE6u);
}

#if defined(__x86_64__)
// What the compiler's own library finds on this machine, which asks in its own way.
TEST(CpuFeatures, OfThisMachineAsTheCompilerSeesIt) {
  __builtin_cpu_init();
  const auto expect = [](CpuFeature feature, bool there) {
    EXPECT_EQ((cpu_features() & feature) != 0, there) << cpu_feature_names(feature);
  };
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  expect(kCpuAvx2, avx2);
  expect(kCpuAvxVnni, avx2 && __builtin_cpu_supports("avxvnni"));
  expect(kCpuAvx512, avx512);
  expect(kCpuAvx512Vnni, avx512 && __builtin_cpu_supports("avx512vnni"));
  expect(kCpuAvx512Bf16, avx512 && __builtin_cpu_supports("avx512bf16"));
}
#endif

}  // namespace
}  // namespace st

// How the calling thread computes with floats: rounding to nearest, subnormal numbers kept, no
// traps, whatever whoever calls has set, and inherited by the threads it started. Results have the
// same bits for all callers where computing begins with one of these; the caller's mode comes back
// at the end.
#pragma once

#include <cstdint>

namespace st {

class DefaultFloatMode {
 public:
  DefaultFloatMode() : callers_(get()) { set(kDefault); }
  ~DefaultFloatMode() { set(callers_); }
  DefaultFloatMode(const DefaultFloatMode&) = delete;
  DefaultFloatMode& operator=(const DefaultFloatMode&) = delete;

 private:
#if defined(__x86_64__)
  static constexpr uint32_t kDefault = 0x1F80;  // MXCSR: all exceptions masked, none seen
  static uint32_t get() { return __builtin_ia32_stmxcsr(); }
  static void set(uint32_t mode) { __builtin_ia32_ldmxcsr(mode); }
  uint32_t callers_;
#elif defined(__aarch64__)
  static constexpr uint64_t kDefault = 0;  // FPCR
  static uint64_t get() {
    uint64_t mode;
    asm volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
  }
  static void set(uint64_t mode) { asm volatile("msr fpcr, %0" : : "r"(mode)); }
  uint64_t callers_;
#else
  static constexpr int kDefault = 0;
  static int get() { return 0; }
  static void set(int) {}
  int callers_;
#endif
};

}  // namespace st

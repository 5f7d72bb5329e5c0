// How fast this instruction set can go, over the vector vocabulary of the including file.

namespace st {
namespace {

int64_t peak_int8(int64_t iterations) {
  VecI u = splat(0x01010101);
  VecI s = splat(0x01FF01FF);  // 1 and -1, so that sums stay 0
  VecI sums[kTune.probe_sums] = {};
  for (int64_t i = 0; i < iterations; ++i) {
    for (VecI& sum : sums) {
      hide(u);  // or the products would be computed once, before the loop
      sum = dot4(sum, (Bytes)u, (Bytes)s);
    }
  }
  for (VecI& sum : sums) hide(sum);
  return iterations * kTune.probe_sums * kLanes * 4;
}

void read_all(const void* p, int64_t bytes) {
  constexpr int64_t kVec = sizeof(VecI);
  const char* at = static_cast<const char*>(p);
  VecI parity[8] = {};
  for (int64_t i = 0; i + 8 * kVec <= bytes; i += 8 * kVec) {
    for (int k = 0; k < 8; ++k) {
      VecI v;
      __builtin_memcpy(&v, at + i + k * kVec, kVec);
      parity[k] ^= v;
    }
  }
  for (VecI& v : parity) hide(v);
}

}  // namespace
}  // namespace st

// Bytes of standard input as they come, beside the signals that who waits for them has to know of.
#pragma once

#include <cstdint>
#include <string>

#include "cli/interrupt.h"

namespace st {

class KeyInput {
 public:
  enum class Event : uint8_t { kByte, kInterrupt, kRedraw, kEnd };

  explicit KeyInput(TakenInterrupts& interrupts) : interrupts_(interrupts) {}

  // The next byte, of kByte; waits for it.
  Event next(char& byte);

 private:
  TakenInterrupts& interrupts_;
  char buffer_[4096];
  size_t at_ = 0, end_ = 0;  // of what was read and not taken
};

}  // namespace st

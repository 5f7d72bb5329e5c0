// What one forward pass works on.
#pragma once

#include <cstdint>

namespace st {

// One token of a batch. A batch may mix several sequences (conversations); within a sequence the
// positions are consecutive and ascending, and continue what the cache already holds.
struct BatchItem {
  int32_t token = 0;
  int32_t position = 0;
  int32_t sequence = 0;
  bool logits = false;  // whether the logits after this token are wanted
  bool sparse = false;  // whether rows of the vocabulary that do not matter may be left out
};

}  // namespace st

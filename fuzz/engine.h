// What the fuzz targets that run models share.
#pragma once

#include <string>

#include "engine/engine.h"
#include "fuzz.h"

namespace st::fuzz {

// The model of a file evaluates `count` tokens one after the other. `choice` picks threads and
// budget.
inline void evaluate(const std::string& path, size_t choice, int64_t count) {
  Engine engine(path, {.threads = static_cast<int>(1 + choice % 3),
                       .context = 16,
                       .micro_batch = 4,
                       .memory = choice % 4 == 0 ? uint64_t{1} << 30 : 0});
  const SequenceId sequence = engine.cache().create();
  for (Token token = 0; token < count; ++token) {
    const std::span<const float> logits = engine.evaluate({sequence, {&token, 1}, Wanted::kAll});
    require(logits.size() == static_cast<size_t>(engine.config().vocab));
  }
}

}  // namespace st::fuzz

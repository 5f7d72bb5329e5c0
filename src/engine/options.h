// What an engine is asked to be.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/cgroup.h"
#include "base/memory.h"
#include "base/stop.h"
#include "base/system_file.h"
#include "model/lm_head.h"
#include "tensor/kv_tile.h"
#include "text/tokenizer.h"

namespace st {

class Model;

// Where a text is encoded before memory is planned.
struct TextRoom {
  const Tokenizer& tokenizer;
  int64_t context;  // positions of a sequence
  uint64_t bytes;   // that there are for it, beside what is needed for the model
};

struct EngineOptions {
  int threads = 0;                   // 0: as choose_threads() says
  int64_t context = 0;               // positions per sequence; 0: what the model was trained for
  int64_t sequences = 1;             // conversations held at once
  int64_t micro_batch = 512;         // tokens per forward pass
  std::optional<KvType> cache_type;  // default: F32 for an F32 model, else I16
  LmHeadOptions head;                // end-of-generation tokens are always computed
  std::string kernels;               // force a kernel table by name; empty: the best
  uint64_t memory = 0;               // budget of the whole process in bytes; 0: none
  std::string hot_set;               // file to begin with and to leave behind; empty: none
  // Without a budget so many threads read weights while tokens are evaluated, after those that the
  // tokens need; with 0 none but those. What is wrong with a weight is then an error of evaluate(),
  // of any that comes after it was found. Empty: weights are read before.
  std::optional<int> behind;
  Progress progress;            // told while the weights are read, unless they come behind
  uint64_t page = page_size();  // of memory, see MemoryRegion; for tests
  // Called before that to encode the text that is to be run, so that it counts as well. Returns
  // the bytes that its tokens take; keeps none that take more than there are.
  std::function<uint64_t(const TextRoom&)> encode;
  // Bytes that who runs the engine will take beside it, which count as well; empty: none.
  std::function<uint64_t(const Model&)> beside;
  // Told before that what could go wrong with it.
  std::function<void(std::string_view)> note;
  // Who says what the control groups grant and what the machine has; empty: the kernel. For tests.
  std::function<CgroupMemory()> groups;
  std::function<MachineMemory()> machine;
};

}  // namespace st

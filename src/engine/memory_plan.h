// How a memory budget for the whole process is divided.
//
// What must be there comes first: the program with its vocabulary and the weights that are not
// experts, the scratch of a forward pass, the keys and values of the tokens seen so far. The rest
// is for experts, so they give way as a conversation grows.
//
// All of it is known before a weight is read, from shapes: what does not fit is refused by then.
#pragma once

#include <cstdint>
#include <string_view>

namespace st {

struct MemoryPlan {
  uint64_t budget = 0;                // bytes, all together
  uint64_t group_limit = UINT64_MAX;  // what the control group leaves us now, if that is less
  uint64_t resident = 0;  // program, vocabulary, text: measured; weights that stay: their sizes
  uint64_t program = 0;  // of all this, what its group takes back if it must or has counted by now:
                         // pages of files, the kernel's part of the threads
  uint64_t threads = 0;  // what each thread needs for itself, times threads
  uint64_t logits = 0;   // scratch of a forward pass: whatever the batch,
  uint64_t per_token = 0;  // and for each token
  int64_t tokens = 0;      // of the largest micro-batch
  int64_t wanted = 0;      // the same if there were memory enough
  int64_t context = 0;     // positions
  uint64_t kv_full = 0;    // keys and values of a full context
  uint64_t kv_least = 0;   // the same if micro-batches were of one token
  uint64_t kv_wanted = 0;  // and if they were of as many as are wanted
  uint64_t expert = 0;     // one expert
  int64_t experts = 0;     // of all layers
  int64_t fewest = 0;      // that one token needs in one layer
  // What these are to a user: of a dense model, the networks of whole layers.
  std::string_view units = "experts";

  // What the allocator keeps for later, pages that are only partly used.
  static constexpr uint64_t kSpare = uint64_t{8} << 20;
  // What stays is measured by each run anew, which differs by pages of the program and of the
  // libraries that it has touched. The smallest budget that is told works in any run; what is
  // refused for any run would fail in one that measures a little more than this one.
  static constexpr uint64_t kMeasured = uint64_t{3} << 20;
  static constexpr uint64_t kALittleMore = uint64_t{1} << 20;

  uint64_t fixed(int64_t batch) const {
    return resident + threads + logits + static_cast<uint64_t>(batch) * per_token + kSpare;
  }
  uint64_t holding(int64_t count) const;  // budget for so many experts beside a full context
  uint64_t least() const;                 // the same for the fewest, one token at a time
  uint64_t smallest() const;              // budget for that, in any run
  uint64_t smallest_here() const;         // and in this one
  uint64_t largest() const;               // for everything, at least `smallest`: more is of no use

  // How many experts there is room for beside `kv` bytes of keys and values and scratch for `batch`
  // tokens; below `fewest` if the budget is too small.
  int64_t room(uint64_t kv, int64_t batch) const;

  uint64_t needed() const;  // for the largest micro-batch and the fewest experts
  bool fits() const;
  // Throws Error(kInvalidUsage) naming the smallest budgets, if this one is too small, or if it is
  // more than the control group leaves: for this run, or for any.
  void check() const;
  void check_for_any_run() const;

 private:
  // `margin`: bytes that a run may need beyond what this one does.
  [[noreturn]] void refuse(uint64_t margin) const;
};

// Throws Error(kOutOfMemory): a model whose weights alone take `needed` bytes finds room for
// `allowed` only, of the control group or the machine. `plan`: of a run with a budget of all that.
[[noreturn]] void fail_without_budget(uint64_t needed, uint64_t allowed, bool of_group,
                                      const MemoryPlan& plan);

// The largest micro-batch, a power of two times less than `wanted`, whose scratch, `per_token`
// bytes each, takes at most a sixteenth of the budget; and the smallest budget for all of them.
int64_t micro_batch_within(uint64_t budget, int64_t wanted, uint64_t per_token);
uint64_t budget_for_micro_batch(int64_t wanted, uint64_t per_token);

// Memory of this process that is in use right now, in bytes; 0 where the system does not say.
uint64_t resident_memory();
uint64_t anonymous_memory();  // of that, what is no file's

}  // namespace st

// A loaded model, ready to run: the library's front door.
//
// Like everything below the command line, it never prints, exits or aborts: failures are st::Error,
// things worth telling are notices().
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/cgroup.h"
#include "base/memory.h"
#include "base/progress.h"
#include "base/stop.h"
#include "base/system_file.h"
#include "engine/memory_plan.h"
#include "experts/cached_experts.h"
#include "model/batch.h"
#include "model/config.h"
#include "model/stats.h"
#include "model/step.h"
#include "text/tokenizer.h"

namespace st {

// What became of a budget.
struct MemoryReport {
  MemoryPlan plan;
  int64_t room = 0;  // experts there is room for now
  CachedExpertsStats experts;
};

// Where an engine stood at the end of its last pass.
struct EngineSnapshot {
  Stats stats;
  LmHeadAgreement head_agreement;
  std::optional<MemoryReport> memory;
  std::vector<int64_t> positions;  // held by each sequence
};

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
  std::optional<Gating> gating;      // override of the file's gating function
  std::string kernels;               // force a kernel table by name; empty: the best
  uint64_t memory = 0;               // budget of the whole process in bytes; 0: none
  std::string expert_bundle;         // headerless file with the experts; empty: the model has them
  std::string hot_set;               // file to begin with and to leave behind; empty: none
  Progress progress;                 // told while the weights are read
  uint64_t page = page_size();       // of memory, see MemoryRegion; for tests
  // Called before that to encode the text that is to be run, so that it counts as well. Returns
  // the bytes that its tokens take; keeps none that take more than there are.
  std::function<uint64_t(const TextRoom&)> encode;
  // Told before that what could go wrong with it.
  std::function<void(std::string_view)> note;
  // Who says what the control groups grant and what the machine has; empty: the kernel. For tests.
  std::function<CgroupMemory()> groups;
  std::function<MachineMemory()> machine;
};

// Has an owner, one thread at a time, which alone calls what runs, changes or tells of the passes.
// What is marked "any thread" may be called by others meanwhile.
class Engine {
 public:
  // Opens and reads the model. Throws Error, of memory before a weight is read, and of kCancelled
  // once `stop` is requested.
  Engine(const std::string& path, EngineOptions options, const Stop& stop = Stop::never());
  ~Engine();
  Engine(Engine&&) noexcept;

  // Any thread, from here ...
  const ModelConfig& config() const;
  const Tokenizer& tokenizer() const;
  const GgufModel& file() const;
  const std::vector<std::string>& notices() const;
  const std::vector<std::string>& ignored_keys() const;  // of the file: they only describe it
  std::string_view kernels() const;
  int threads() const;
  int64_t context() const;
  int64_t micro_batch() const;
  // The first position but 0 where a sequence may go on that `written` positions were stored of.
  int64_t first_kept(int64_t written) const;
  KvType cache_type() const;
  uint64_t weight_bytes() const;    // of the whole model
  uint64_t streamed_bytes() const;  // of that, what stays in the file
  const std::vector<ExpertLayer>& experts() const;
  uint64_t cache_bytes() const;  // reserved, not necessarily used
  bool has_predictor() const;    // of the rows of the lm head
  EngineSnapshot snapshot() const;
  // ... to here.

  // Runs `batch` through the model, in micro-batches. Returns the logits of the items that want
  // them, (rows, V) in batch order, valid until the next one; rows that a sparse head skips are
  // -infinity. Within a sequence positions go up by one from the first, which is 0 (it begins
  // anew), the end of what it holds, or any before that whose predecessors are still there: sliding
  // layers forget. What it held from there on is replaced. Throws Error(kInvalidUsage) for a token,
  // position or sequence out of range, Error(kInvalidData) when the model computes something that
  // is not a number, Error(kIo) when experts cannot be read or their file was changed, and
  // Error(kCancelled) once `stop` is requested, within half a second, or about one where a device
  // does not answer. The engine can be used after that, and the same batch evaluated again, unless
  // sliding layers have lost what came before it: then that is refused, and the sequence begins
  // again at position 0.
  std::span<const float> evaluate(std::span<const BatchItem> batch,
                                  const Stop& stop = Stop::never());
  // The same, but `sink` gets the logits, a few rows at a time: those of a long batch are never in
  // memory all together, and within a budget there is room for those that are.
  void evaluate(std::span<const BatchItem> batch, const LogitsSink& sink,
                const Stop& stop = Stop::never());

  // Empty without a budget. What control groups leave to us counts too, if that is less: evaluate()
  // looks several times a second, and experts give way.
  std::optional<MemoryReport> memory() const;
  // Raises or lowers the budget between two calls of evaluate(); with little, prompts run in
  // smaller micro-batches from then on. Throws Error(kInvalidUsage) when there is none, or it would
  // be too small: then nothing changes.
  void set_memory(uint64_t budget);

  const LmHeadAgreement& head_agreement() const;  // what LmHead::kCheck has seen

  // What the passes touched so far, and a fresh start.
  const Stats& stats() const;
  void reset_stats();

  // Called with intermediate values; for tests and tools. Empty to stop.
  void observe(Observer observer);
  void observe_routing(RoutingObserver observer);

 private:
  struct Impl;
  void check_without_budget(const std::string& path, EngineOptions options);

  std::unique_ptr<Impl> impl_;
};

// Items for `tokens` from `position` on in sequence 0, logits for the last or for all.
std::vector<BatchItem> make_batch(std::span<const Token> tokens, int64_t position, bool all_logits);

}  // namespace st

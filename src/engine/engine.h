// A model at work: evaluates tokens of many conversations together.
//
// Like everything below the command line, the engine never prints, exits or aborts: failures are
// st::Error, things worth telling are notices().
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/stop.h"
#include "engine/feed.h"
#include "engine/memory_keeper.h"
#include "engine/model.h"
#include "engine/options.h"
#include "model/kv_pool.h"
#include "model/stats.h"
#include "model/step.h"

namespace st {

// Where an engine stood at the end of its last pass.
struct EngineSnapshot {
  Stats stats;
  LmHeadAgreement head_agreement;
  std::optional<MemoryReport> memory;
  int64_t positions = 0;  // held by all sequences together
};

// Has an owner, one thread at a time, which alone calls what runs, changes or tells of the passes.
// What is marked "any thread" may be called by others meanwhile.
class Engine {
 public:
  // Reads the model's weights, unless another engine has. Throws Error, of memory before a weight
  // is read, and of kCancelled once `stop` is requested. With a budget the model must stream.
  Engine(std::shared_ptr<const Model> model, EngineOptions options,
         const Stop& stop = Stop::never());
  // With a model of its own.
  explicit Engine(const std::string& path, EngineOptions options = {},
                  const Stop& stop = Stop::never());
  ~Engine();
  Engine(Engine&&) noexcept;

  // What the constructor throws before a weight is read, of a budget in any run: measures of
  // memory that differ a little from one to the next make no difference.
  static void check(std::shared_ptr<const Model> model, EngineOptions options);

  // Any thread, from here ...
  const Model& model() const;
  const ModelConfig& config() const { return model().config(); }
  const Tokenizer& tokenizer() const { return model().tokenizer(); }
  std::vector<std::string> notices() const;  // of the model, too
  std::string_view kernels() const;
  int threads() const;
  int64_t context() const;  // positions of a sequence
  KvType cache_type() const;
  uint64_t full_cache_bytes() const;  // with a full context of each sequence
  EngineSnapshot snapshot() const;
  // ... to here.

  // The sequences that feeds append to: create them, fork, go back, save. Not during evaluate().
  KvPool& cache();
  // KvPool::restore(), with room for it within a budget.
  void restore(SequenceId id, int64_t positions, std::span<const int64_t> first,
               const KvPool::Fill& fill);

  // Appends each feed to its sequence, in micro-batches that may mix feeds, and computes the logits
  // they want; the same bits whatever the company. An outcome for each feed, valid until the next
  // call. The error of an outcome is of
  //   kInvalidUsage: a token, sequence or number of tokens out of range; the feed was not begun
  //   kInvalidData: the model computes something that is not a number
  //   kIo: experts cannot be read, or their file was changed
  //   kCancelled: `stop` was requested, within half a second or about one where a device does not
  //     answer
  // The first two are a feed's own: the others go on. A feed may be given again from the tokens on
  // that its sequence has not taken.
  std::span<const Outcome> evaluate(std::span<const Feed> feeds, const Stop& stop = Stop::never());
  // One feed; throws its error.
  std::span<const float> evaluate(const Feed& feed, const Stop& stop = Stop::never());
  // The same, but `sink` gets the logits, a few rows at a time: those of a long feed are never in
  // memory all together, and within a budget there is room for those that are.
  void evaluate(const Feed& feed, const LogitsSink& sink, const Stop& stop = Stop::never());

  // Empty without a budget. What control groups leave to us counts too, if that is less: evaluate()
  // looks several times a second, and experts give way.
  std::optional<MemoryReport> memory() const;
  // Raises or lowers the budget between two calls of evaluate(); with little, prompts run in
  // smaller micro-batches from then on. Throws Error(kInvalidUsage) when there is none, or it would
  // be too small: then nothing changes.
  void set_memory(uint64_t budget);
  void check_memory(uint64_t budget) const;  // the same error, and never a change

  // How often each expert was used, as text (experts/hot_set.h); empty where that is of no use:
  // without experts, before the first pass, or where all weights were read before it and there is
  // no hot set in the options.
  std::string hot_set() const;
  // Reads the hottest of such a text ahead of the first pass; does nothing with a hot set of its
  // own, after that pass, or where all is in memory. Throws Error(kInvalidData) for what is no such
  // text, or is of other layers or experts: then nothing changes.
  void begin_with(std::string_view hot_set);

  // Whether all of an expert's weights are in memory, between two calls of evaluate().
  bool holds_expert(int64_t layer, int32_t expert) const;

  const LmHeadAgreement& head_agreement() const;  // what LmHead::kCheck has seen

  // What the passes touched so far, and a fresh start.
  const Stats& stats() const;
  void reset_stats();

  // Called with intermediate values; for tests and tools. Empty to stop.
  void observe(Observer observer);
  void observe_routing(RoutingObserver observer);
  void observe_inputs(InputObserver* observer);  // which lives as long; null to stop

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace st

// What an engine has in memory beside the weights that are resident: experts, keys and values,
// scratch, and the budget that they share. The keeper plans before a weight is read, and makes room
// before each pass.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/group_watch.h"
#include "engine/memory_plan.h"
#include "engine/model.h"
#include "engine/options.h"
#include "experts/cached_experts.h"
#include "model/kv_pool.h"
#include "model/state.h"
#include "weights/row_reader.h"

namespace st {

// What became of a budget.
struct MemoryReport {
  MemoryPlan plan;
  int64_t slots = 0;  // experts there is memory for now
  CachedExpertsStats experts;
};

class MemoryKeeper {
 public:
  // All three outlive the keeper.
  MemoryKeeper(const Model& model, const EngineOptions& options, ThreadPool& pool);
  ~MemoryKeeper();  // leaves the hot set behind

  // Throws Error(kInvalidUsage | kOutOfMemory) naming the budget that would work, where the model
  // does not fit the one there is, or the machine.
  void refuse_what_does_not_fit() const;
  // Reads the weights, or begins to. Throws what Model::read_weights() throws, and
  // Error(kOutOfMemory).
  void load(const Stop& stop);

  // Memory for a pass over `tokens` tokens when keys and values take `kv` bytes, with `rows` rows
  // of logits at once. Experts give way; where the fewest of them would find no room, there are
  // fewer rows if `rows_may_be_fewer`, then fewer tokens at once. `keep_logits`: somebody may still
  // read those of the last pass. Does nothing without a budget.
  struct Pass {
    uint64_t kv;
    int64_t tokens;
    int64_t rows;
    bool rows_may_be_fewer = false;
    bool keep_logits = false;
  };
  void fit(const Pass& pass);
  int64_t tokens_at_once() const;  // all their experts find room in each layer
  int64_t rows_at_once() const { return rows_; }
  // Tokens with a row of logits each that go in one pass, and hardly take room from experts.
  int64_t each_at_once() const;

  // Both throw Error(kInvalidUsage) where another budget would be too small: then nothing changes.
  // REQUIRES: there is one.
  MemoryPlan plan_for(uint64_t bytes) const;
  void set_budget(uint64_t bytes);
  std::optional<MemoryReport> report() const;  // empty without a budget

  // See Engine.
  std::string hot_set() const;
  void begin_with(std::string_view hot_set);

  // Weights that come behind, until they are there; else null.
  WeightLoader* loader() const { return loader_ && !loader_->complete() ? loader_.get() : nullptr; }

  // Throws Error(kIo) if a file that is still read was written to since it was opened, and what the
  // loader has met.
  void check_files() const;
  CachedExpertsStats read_so_far() const;  // experts and rows of the embedding

  int64_t context() const { return context_; }  // positions of a sequence
  KvType cache_type() const;
  uint64_t full_cache_bytes() const { return full_bytes(cache_); }
  KvPool& cache() { return cache_; }
  const KvPool& cache() const { return cache_; }
  State& state() { return state_; }
  const State& state() const { return state_; }
  ExpertStore& experts() const;
  RowReader* embedding();  // null: it is in memory
  RowReader* token_rows() { return token_rows_ ? &*token_rows_ : nullptr; }
  const std::vector<std::string>& notices() const { return notices_; }

 private:
  int64_t choose_context() const;
  int64_t wanted_micro_batch() const;
  int64_t choose_micro_batch() const;
  KvPool make_cache(int64_t micro_batch) const;
  uint64_t full_bytes(const KvPool& cache) const;  // with a full context of each sequence
  uint64_t encode_text();
  uint64_t bytes_per_thread() const;
  uint64_t scratch_bytes() const;
  uint64_t least_scratch_bytes() const;
  uint64_t resident_weights() const;
  MemoryPlan plan_of(uint64_t resident);
  void open_rows();
  bool embedding_comes_behind() const;
  void plan_budget();
  void begin_limited();
  void begin_resident();
  void resize_state(int64_t tokens, bool keep_logits);
  void warm(std::string_view hot_set);
  void load_hot_set();
  void save_hot_set() const;
  void wait_for_others();

  const Model& model_;
  const EngineOptions& options_;
  ThreadPool& pool_;
  std::vector<std::string> notices_;
  mutable GroupWatch groups_;
  const int64_t context_;
  int64_t micro_batch_;
  KvPool cache_;
  State state_;
  int64_t rows_ = kSinkRows;
  uint64_t text_bytes_ = 0;                // of a text that there is no room for
  uint64_t beside_bytes_ = 0;              // that others will take
  std::optional<AsyncReader> row_reader_;  // through the page cache
  std::optional<RowReader> embedding_;     // unless it is in memory
  std::optional<RowReader> token_rows_;    // if the model has some
  uint64_t needed_ = 0;                    // of memory, before anything is computed
  // With a budget:
  MemoryPlan plan_;
  std::optional<AsyncReader> reader_;
  std::unique_ptr<CachedExperts> cached_;
  // Without:
  std::shared_ptr<WeightLoader> loader_;  // if they come behind
  std::unique_ptr<ExpertStore> resident_;
  bool loaded_ = false;
};

}  // namespace st

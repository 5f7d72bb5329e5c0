#include "engine/memory_keeper.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "experts/hot_set.h"
#include "experts/resident_experts.h"
#include "model/attention.h"

namespace st {
namespace {

// With a budget:
constexpr int64_t kLimitedContext = 4096;        // unless asked for
constexpr int64_t kFew = 8;                      // tokens for which scratch is kept between prompts
constexpr uint64_t kStack = uint64_t{36} << 10;  // of a thread, in use
constexpr uint64_t kKernelPerThread = uint64_t{28} << 10;
constexpr int64_t kPlannedRows = 2;   // of logits, in every plan
constexpr uint64_t kSpareShare = 32;  // of the room for experts, for more rows than planned
constexpr size_t kTokenRows = 512;    // that stay in memory, of a table that does not

}  // namespace

MemoryKeeper::MemoryKeeper(const Model& model, const EngineOptions& options, ThreadPool& pool)
    : model_(model),
      options_(options),
      pool_(pool),
      groups_({.groups = options.groups}),
      context_(choose_context()),
      micro_batch_(choose_micro_batch()),
      cache_(make_cache(micro_batch_)),
      state_(model.config(), 1, pool.threads()) {  // memory is measured without scratch
  give_back_freed();                               // what parsing left
  if (!pool.notice().empty()) notices_.push_back(pool.notice());
  if (const int64_t trained = model.config().context; context_ > trained) {
    notices_.push_back(fmt::format(
        "context {} is more than the {} positions the model was trained for", context_, trained));
  }
  if (options.encode) text_bytes_ = encode_text();
  if (options.beside) beside_bytes_ = options.beside(model);
  open_rows();
  if (options.memory > 0) plan_budget();
}

MemoryKeeper::~MemoryKeeper() { save_hot_set(); }

// ---- Before a weight is read ----

int64_t MemoryKeeper::choose_context() const {
  if (options_.context > 0) return options_.context;
  const int64_t trained = model_.config().context;
  // Room is kept for a full context, so a long one would leave little for experts.
  return options_.memory > 0 ? std::min(trained, kLimitedContext) : trained;
}

int64_t MemoryKeeper::wanted_micro_batch() const {
  return std::min(options_.micro_batch, context_);
}

int64_t MemoryKeeper::choose_micro_batch() const {
  if (options_.memory == 0) return wanted_micro_batch();
  return micro_batch_within(options_.memory, wanted_micro_batch(),
                            State::bytes_per_token(model_.config()));
}

// A cache less precise than the weights would be the weakest link of an F32 model.
KvType MemoryKeeper::cache_type() const {
  if (options_.cache_type) return *options_.cache_type;
  return model_.store().all_of(DType::kF32) ? KvType::kF32 : KvType::kI16;
}

// Takes no memory until something is stored.
KvPool MemoryKeeper::make_cache(int64_t micro_batch) const {
  return {model_.config(), cache_type(), context_, options_.sequences, micro_batch, options_.page};
}

uint64_t MemoryKeeper::full_bytes(const KvPool& cache) const {
  return static_cast<uint64_t>(options_.sequences) * cache.bytes(context_);
}

// Bytes of a text that was not kept, for there is no room for it; else 0: what is kept is measured
// with the rest.
uint64_t MemoryKeeper::encode_text() {
  const uint64_t limit =
      std::min(options_.memory > 0 ? options_.memory : UINT64_MAX, groups_.allowed());
  const uint64_t room = limit - std::min(limit, resident_memory());
  const uint64_t wanted = options_.encode({model_.tokenizer(), context_, room});
  give_back_freed();  // buffers for encoding
  return wanted > room ? wanted : 0;
}

// What a thread has for itself: its stack, the kernel's half of that, and buffers that live as long
// as it does.
uint64_t MemoryKeeper::bytes_per_thread() const {
  const ModelConfig& c = model_.config();
  const int64_t widest = std::max({c.hidden, c.q_width(), c.widest_ffn()});
  const int64_t numbers = 2 * kUnpackedNumbers * static_cast<int64_t>(sizeof(float));
  const int64_t unpacked = kUnpackedRows * (widest + 128) * (kBlock + numbers) / kBlock;
  uint64_t arranged = 0;
  for (const ExpertLayer& layer : model_.weights().experts) {
    if (layer.down.arrangement == Arrangement::kByNeuron) {
      arranged = std::max(arranged, layer.down.file.bytes);
    }
  }
  return kStack + kKernelPerThread + static_cast<uint64_t>(unpacked) + arranged;
}

// Without a budget: a forward pass of as many tokens as there may be.
uint64_t MemoryKeeper::scratch_bytes() const {
  const auto threads = static_cast<uint64_t>(pool_.threads());
  return static_cast<uint64_t>(micro_batch_) * State::bytes_per_token(model_.config()) +
         State::fixed_bytes(model_.config(), pool_.threads()) + threads * bytes_per_thread();
}

// The same for a few tokens, whose work may not reach every thread: with less nothing runs.
uint64_t MemoryKeeper::least_scratch_bytes() const {
  const int64_t tokens = std::min(kFew, micro_batch_);
  return static_cast<uint64_t>(tokens) * State::bytes_per_token(model_.config()) +
         static_cast<uint64_t>(pool_.threads()) * (kStack + kKernelPerThread);
}

// The same: what is needed in any case.
uint64_t MemoryKeeper::resident_weights() const {
  return anonymous_memory() + text_bytes_ + beside_bytes_ + model_.store().memory_bytes();
}

MemoryPlan MemoryKeeper::plan_of(uint64_t resident) {
  const ModelConfig& c = model_.config();
  const auto threads = static_cast<uint64_t>(pool_.threads());
  // Batches and copies of a prompt are short beside its keys and values, but count.
  const auto rows = static_cast<uint64_t>(kPlannedRows * c.vocab) * sizeof(float) +
                    static_cast<uint64_t>(context_) * 2 * sizeof(BatchItem);
  return {.budget = options_.memory,
          .group_limit = groups_.allowed(),
          .resident = resident,
          .program = resident_memory() - anonymous_memory() + threads * kKernelPerThread,
          .threads = threads * bytes_per_thread(),
          .logits = rows + State::fixed_bytes(c, pool_.threads()),
          .per_token = State::bytes_per_token(c),
          .tokens = micro_batch_,
          .wanted = wanted_micro_batch(),
          .context = context_,
          .kv_full = full_bytes(cache_),
          .kv_least = full_bytes(make_cache(1)),
          .kv_wanted = full_bytes(make_cache(wanted_micro_batch())),
          .expert = cached_->slot_bytes(),
          .experts = cached_->most(),
          .fewest = cached_->fewest(),
          .units = c.has_experts() ? "experts" : "layers"};
}

// Of tables that stay in the file.
void MemoryKeeper::open_rows() {
  const Weights& weights = model_.weights();
  const bool by_token = !weights.token_rows.name.empty();
  const bool embedding = !weights.embedding.matrix || embedding_comes_behind();
  if (!embedding && !by_token) return;
  // What is not in the page cache io_uring leaves to threads of the kernel, and says nothing where
  // it may not have any.
  row_reader_.emplace(AsyncReader::Options{.backend = AsyncReader::Backend::kPread, .depth = 4});
  if (embedding) embedding_.emplace(weights.embedding, *row_reader_);
  if (by_token) token_rows_.emplace(weights.token_rows, *row_reader_, kTokenRows);
}

// A pass needs few of its rows, and reads them itself until it is there; unless it is the head,
// too.
bool MemoryKeeper::embedding_comes_behind() const {
  const Weights& weights = model_.weights();
  return options_.behind && options_.memory == 0 &&
         weights.embedding.matrix.data != weights.output.data;
}

void MemoryKeeper::plan_budget() {
  const Weights& weights = model_.weights();
  reader_.emplace(
      AsyncReader::Options{.log = [this](std::string_view line) { notices_.emplace_back(line); }});
  cached_ = std::make_unique<CachedExperts>(weights.experts, model_.config().most_used(), *reader_,
                                            options_.page);
  const uint64_t rows = token_rows_ ? token_rows_->bytes() : 0;
  const uint64_t resident =
      resident_memory() + text_bytes_ + beside_bytes_ + model_.store().memory_bytes() + rows;
  plan_ = plan_of(resident);
  // Slower prompts rather than a refusal: what works in a budget works in all that are larger.
  while (!plan_.fits() && micro_batch_ > 1) {
    micro_batch_ /= 2;
    cache_ = make_cache(micro_batch_);
    plan_ = plan_of(resident);
  }
}

// A model that cannot fit is not begun with: the kernel would kill the process in the middle.
void MemoryKeeper::refuse_what_does_not_fit() const {
  if (cached_) return plan_.check();
  const uint64_t needed = resident_weights() + least_scratch_bytes();
  const uint64_t group = groups_.allowed();
  const MachineMemory machine = options_.machine ? options_.machine() : read_machine_memory();
  const uint64_t all = machine.total == 0 ? UINT64_MAX : machine.total + machine.swap;
  const uint64_t allowed = std::min(group, all);
  if (needed > allowed) {
    // What would a budget make of it?
    ModelOptions streamed = model_.options();
    streamed.stream = true;
    const Model model = model_.reopened(std::move(streamed));
    EngineOptions options = options_;
    options.memory = allowed;
    options.hot_set = {};
    options.encode = {};
    const MemoryKeeper limited(model, options, pool_);
    fail_without_budget(needed, allowed, group < all, limited.plan_);
  }
  const uint64_t full = resident_weights() + full_bytes(cache_) + scratch_bytes();
  const uint64_t free = std::min(group, machine.total == 0 ? UINT64_MAX : machine.available);
  if (full > free && options_.note) {
    options_.note(fmt::format(
        "needs {} MiB with a full context, {} MiB are free: --memory SIZE makes it do with less",
        full >> 20, free >> 20));
  }
}

// ---- Loading ----

// What an engine before this one had may come back late: its threads have just ended.
void MemoryKeeper::wait_for_others() {
  constexpr int kLooks = 10;
  for (int i = 0; i < kLooks && groups_.allowed() < needed_; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  if (groups_.allowed() >= needed_) return;
  fail(ErrorCode::kOutOfMemory,
       "needs {} MiB, the control group leaves {} MiB since others took their part", needed_ >> 20,
       groups_.allowed() >> 20);
}

void MemoryKeeper::load(const Stop& stop) {
  needed_ = cached_ ? plan_.least() - plan_.program : resident_weights();
  const Progress progress = [&](std::string_view what, uint64_t done, uint64_t all) {
    wait_for_others();
    if (options_.progress) options_.progress(what, done, all);
  };
  if (options_.behind && !cached_) {
    wait_for_others();
    loader_ = model_.begin_weights(*options_.behind);
  } else {
    // Each has a buffer, which a budget holds for as many as compute.
    model_.read_weights(cached_ ? pool_.threads() : WeightLoader::kThreads, progress, stop);
  }
  cached_ ? begin_limited() : begin_resident();
  if (!options_.hot_set.empty()) load_hot_set();
  loaded_ = true;
}

void MemoryKeeper::begin_limited() {
  model_.file().expect_scattered_reads();
  if (const File* experts = model_.store().expert_file()) experts->expect_scattered_reads();
  give_back_freed();  // buffers for reading
  plan_.resident = std::max(plan_.resident, resident_memory());
  fit({.kv = 0, .tokens = 1, .rows = kPlannedRows});
}

// Uses are counted where somebody wants to know.
void MemoryKeeper::begin_resident() {
  std::vector<ExpertLayer> experts = model_.weights().experts;
  resident_ = loader_ || !options_.hot_set.empty()
                  ? std::make_unique<ResidentExperts>(std::move(experts),
                                                      model_.config().most_used(), loader_.get())
                  : std::make_unique<ResidentExperts>(std::move(experts));
  resize_state(micro_batch_, false);
}

void MemoryKeeper::warm(std::string_view hot_set) {
  const ModelConfig& c = model_.config();
  experts().warm(parse_hot_set(hot_set, c.layers, c.most_experts()));
}

void MemoryKeeper::begin_with(std::string_view hot_set) {
  const bool of_use = cached_ || loader_;
  if (of_use && options_.hot_set.empty() && experts().rates().empty()) warm(hot_set);
}

std::string MemoryKeeper::hot_set() const {
  const ModelConfig& c = model_.config();
  const std::vector<float> rates = c.has_experts() ? experts().rates() : std::vector<float>();
  return rates.empty() ? "" : format_hot_set(rates, c.layers, c.most_experts());
}

void MemoryKeeper::load_hot_set() {
  std::string text;
  try {
    text = read_text_file(options_.hot_set);
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kNotFound) return;
    throw;
  }
  with_context(printable_path(options_.hot_set), [&] { warm(text); });
}

void MemoryKeeper::save_hot_set() const {
  if (!loaded_ || options_.hot_set.empty()) return;
  try {
    const std::string text = hot_set();
    if (text.empty()) return;
    AtomicFile out(options_.hot_set);
    out.write(std::as_bytes(std::span(text)));
    out.commit();
  } catch (const Error&) {  // it only makes the next start faster
  }
}

// ---- Between passes ----

void MemoryKeeper::fit(const Pass& pass) {
  rows_ = std::max<int64_t>(pass.rows, 1);
  if (loader() != nullptr) wait_for_others();
  if (!cached_) return;
  int64_t tokens = pass.tokens <= kFew ? std::min(kFew, plan_.tokens) : plan_.tokens;
  plan_.group_limit = groups_.allowed();
  const auto room = [&] {
    const int64_t rows = std::max(rows_, state_.logits_rows());
    const int64_t more = std::max<int64_t>(0, rows - kPlannedRows) * model_.config().vocab;
    return plan_.room(pass.kv + static_cast<uint64_t>(more) * sizeof(float), tokens);
  };
  // Those of a few tokens stay for the next few, where they do not take what is needed.
  const bool too_many = state_.logits_rows() > std::max(rows_, kFew);
  if (!pass.keep_logits && (too_many || room() < cached_->fewest())) state_.drop_logits();
  while (pass.rows_may_be_fewer && room() < cached_->fewest() && rows_ > kPlannedRows) rows_ /= 2;
  while (room() < cached_->fewest() && tokens > 1) tokens /= 2;
  if (tokens < state_.max_tokens()) resize_state(tokens, pass.keep_logits);
  const int64_t experts = std::max(room(), cached_->fewest());
  if (experts != cached_->room()) cached_->resize(experts);
  if (tokens > state_.max_tokens()) resize_state(tokens, pass.keep_logits);
}

void MemoryKeeper::resize_state(int64_t tokens, bool keep_logits) {
  State other(model_.config(), tokens, pool_.threads());
  if (keep_logits) other.take_logits(state_);
  other.stats = state_.stats;
  other.agreement = state_.agreement;
  state_ = std::move(other);
  give_back_freed();  // its smaller buffers
}

int64_t MemoryKeeper::tokens_at_once() const {
  const ModelConfig& c = model_.config();
  if (!cached_ || cached_->room() >= c.most_experts()) return state_.max_tokens();
  return std::clamp<int64_t>(cached_->room() / c.most_used(), 1, state_.max_tokens());
}

int64_t MemoryKeeper::each_at_once() const {
  if (!cached_) return tokens_at_once();
  const auto spare = static_cast<uint64_t>(cached_->room() - cached_->fewest()) *
                     cached_->slot_bytes() / kSpareShare;
  const uint64_t row = static_cast<uint64_t>(model_.config().vocab) * sizeof(float);
  return std::min(tokens_at_once(), kPlannedRows + static_cast<int64_t>(spare / row));
}

MemoryPlan MemoryKeeper::plan_for(uint64_t bytes) const {
  MemoryPlan plan = plan_;
  plan.budget = bytes;
  plan.group_limit = UINT64_MAX;  // whatever it is, the next pass keeps to it
  plan.tokens = micro_batch_;
  plan.kv_least = plan.kv_full;                              // keys and values are where they are
  while (!plan.fits() && plan.tokens > 1) plan.tokens /= 2;  // slower prompts rather than a refusal
  plan.check();
  return plan;
}

void MemoryKeeper::set_budget(uint64_t bytes) {
  plan_ = plan_for(bytes);
  fit({.kv = cache_.bytes_in_use(), .tokens = 1, .rows = kPlannedRows, .keep_logits = true});
}

RowReader* MemoryKeeper::embedding() {
  const MatrixRows& table = model_.weights().embedding;
  if (embedding_ && loader_ && loader_->here(table.unit)) {
    embedding_.reset();
    if (!token_rows_) row_reader_.reset();
  }
  return embedding_ ? &*embedding_ : nullptr;
}

std::optional<MemoryReport> MemoryKeeper::report() const {
  if (!cached_) return std::nullopt;
  return MemoryReport{plan_, cached_->room(), read_so_far()};
}

// ---- What is read ----

ExpertStore& MemoryKeeper::experts() const {
  return cached_ ? static_cast<ExpertStore&>(*cached_) : *resident_;
}

CachedExpertsStats MemoryKeeper::read_so_far() const {
  CachedExpertsStats stats;
  if (cached_) stats = cached_->stats();
  if (row_reader_) {
    const ReadStats rows = row_reader_->stats();
    stats.bytes_read += rows.bytes_read;
    stats.stall_seconds += rows.stall_seconds;
  }
  return stats;
}

// What was read for good was checked when it was; with a budget the files are still read, and for
// rows of tables that stay there.
void MemoryKeeper::check_files() const {
  const WeightLoader* loader = this->loader();
  if (loader != nullptr) loader->check();
  if (cached_) cached_->check_files();
  if (cached_ || row_reader_ || loader != nullptr)
    model_.store().check_files();  // of another part perhaps
}

}  // namespace st

#include "engine/engine.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <mutex>
#include <utility>

#include "arch/architecture.h"
#include "arch/understood.h"
#include "base/error.h"
#include "base/file.h"
#include "base/float_mode.h"
#include "base/memory.h"
#include "base/path.h"
#include "engine/group_watch.h"
#include "experts/hot_set.h"
#include "model/attention.h"
#include "model/forward.h"
#include "model/kv_pool.h"

namespace st {
namespace {

// With a budget:
constexpr int64_t kLimitedContext = 4096;  // unless asked for
constexpr int64_t kFew = 8;                // tokens for which scratch is kept between prompts
constexpr uint64_t kKernelPerThread = uint64_t{28} << 10;
constexpr int64_t kPlannedRows = 2;  // of logits, in every plan

// What a batch appends to a sequence.
struct Appended {
  int64_t position = 0;  // the first
  int64_t tokens = 0;
};
using AppendedBySequence = std::map<SequenceId, Appended>;

AppendedBySequence appended_by(std::span<const BatchItem> batch) {
  AppendedBySequence all;
  for (const BatchItem& item : batch) {
    Appended& appended = all.try_emplace(item.sequence, Appended{item.position, 0}).first->second;
    ++appended.tokens;
  }
  return all;
}

// Room in the cache for a pass, given back at its end unless it is committed.
class Reserved {
 public:
  Reserved(KvPool& cache, AppendedBySequence appended)
      : cache_(cache), appended_(std::move(appended)) {
    for (const auto& [id, appended_to] : appended_) cache_.reserve(id, appended_to.tokens);
  }
  ~Reserved() {
    for (const auto& [id, appended_to] : appended_) cache_.truncate(id, cache_.length(id));
  }
  Reserved(const Reserved&) = delete;
  Reserved& operator=(const Reserved&) = delete;

  void commit() const {
    for (const auto& [id, appended_to] : appended_) cache_.commit(id, appended_to.tokens);
  }

 private:
  KvPool& cache_;
  AppendedBySequence appended_;
};

}  // namespace

struct Engine::Impl {
  EngineOptions options;
  std::string name;  // of the file, for messages
  GgufModel file;
  const Architecture& architecture;
  std::vector<std::string> notices, ignored_keys;
  ModelConfig config;
  Tokenizer tokenizer;
  const KernelTable& kernels;
  ThreadPool pool;
  WeightStore store;
  std::unique_ptr<const Decoder> decoder;
  const Weights& weights;
  std::optional<AsyncReader> reader;      // with a budget
  std::optional<AsyncReader> row_reader;  // the same, through the page cache
  std::unique_ptr<CachedExperts> cached;  // the same
  std::optional<RowReader> embedding;     // the same, unless it is in memory as the output
  std::unique_ptr<ExpertStore> resident;  // else
  int64_t context;
  int64_t micro_batch;  // tokens at most
  KvPool cache;         // sequences 0 .. options.sequences - 1, for good
  State state;
  Observer observer;
  RoutingObserver routing_observer;
  std::vector<float> logits;  // rows gathered over micro-batches
  MemoryPlan plan;            // with a budget
  uint64_t text_bytes = 0;    // of a text that there is no room for
  bool loaded = false;        // with a budget: weights that stay are there
  int64_t sink_rows = kSinkRows;
  GroupWatch groups;
  mutable std::mutex published_mutex;
  EngineSnapshot published;

  Impl(const std::string& path, EngineOptions opts)
      : options(std::move(opts)),
        name(printable_path(path)),
        file(path),
        architecture(find_architecture(file.metadata())),
        config(architecture.read_config(file.metadata(), {.gating = options.gating}, notices)),
        tokenizer(read_tokenizer()),
        kernels(pick_kernels(options.kernels)),
        pool(options.threads),
        store(file, options.memory > 0, options.expert_bundle),
        decoder(architecture.load(store, config)),
        weights(decoder->weights()),
        context(choose_context()),
        micro_batch(choose_micro_batch()),
        cache(make_cache(micro_batch)),
        state(config, micro_batch, pool.threads()),
        groups({.groups = options.groups}) {
    refuse_unread_tensors(file);
    ignored_keys = refuse_unread_keys(file.metadata());
    if (!pool.notice().empty()) notices.push_back(pool.notice());
    if (context > config.context) {
      notices.push_back(
          fmt::format("context {} is more than the {} positions the model was trained for", context,
                      config.context));
    }
    options.head.always = tokenizer.vocab().end_of_generation;
    file.forget_entries();  // all that matters is in config, tokenizer and weights
    tokenizer.forget_texts();
    resize_state(1, false);  // memory is measured without scratch; parsing's leavings go too
    if (options.encode) text_bytes = encode_text();
    if (options.memory > 0) plan_memory();
  }

  // Bytes of a text that was not kept, for there is no room for it; else 0: what is kept is
  // measured with the rest.
  uint64_t encode_text() {
    const uint64_t limit =
        std::min(options.memory > 0 ? options.memory : UINT64_MAX, groups.allowed());
    const uint64_t room = limit - std::min(limit, resident_memory());
    const uint64_t wanted = options.encode({tokenizer, context, room});
    give_back_freed();  // buffers for encoding
    return wanted > room ? wanted : 0;
  }

  // Reads the weights, once it is known that there is room for them.
  void load(const Stop& stop) {
    const uint64_t needed = cached ? plan.least() - plan.program : memory_of_weights();
    const Progress progress = [&](std::string_view what, uint64_t done, uint64_t all) {
      if (groups.allowed() < needed) fail_of_others(needed);
      if (options.progress) options.progress(what, done, all);
    };
    store.read_all(pool, progress, stop);
    if (cached) {
      limit_memory();
    } else {
      resident = std::make_unique<ResidentExperts>(weights.experts);
      resize_state(micro_batch, false);
    }
    publish();
  }

  ~Impl() { save_hot_set(); }

  Tokenizer read_tokenizer() {
    // Before a vocabulary is made of them that takes seconds.
    const GgufValue* tokens = file.metadata().find("tokenizer.ggml.tokens");
    const auto* array = tokens == nullptr ? nullptr : std::get_if<GgufArray>(&tokens->value);
    if (array != nullptr && array->count > static_cast<uint64_t>(config.vocab)) {
      fail(ErrorCode::kInvalidData, "{} tokens for a vocabulary of {} rows", array->count,
           config.vocab);
    }
    return Tokenizer(read_gguf_vocab(file.metadata(), &notices));
  }

  int64_t choose_context() const {
    if (options.context > 0) return options.context;
    // Room is kept for a full context, so a long one would leave little for experts.
    return options.memory > 0 ? std::min(config.context, kLimitedContext) : config.context;
  }

  int64_t choose_micro_batch() const {
    const int64_t wanted = std::min(options.micro_batch, context);
    if (options.memory == 0) return wanted;
    return micro_batch_within(options.memory, wanted, State::bytes_per_token(config));
  }

  // Takes no memory until something is stored.
  KvPool make_cache(int64_t batch) const {
    KvPool made(config, cache_type(), context, options.sequences, batch, options.page);
    for (int64_t i = 0; i < options.sequences; ++i) made.create();
    return made;
  }

  // With a full context of each sequence.
  uint64_t full_bytes(const KvPool& kv) const {
    return static_cast<uint64_t>(options.sequences) * kv.bytes(context);
  }

  // Once a batch will have been stored, which appends to sequences or replaces their ends.
  uint64_t cache_bytes_after(std::span<const BatchItem> batch) const {
    uint64_t bytes = cache.bytes_in_use();
    for (const auto& [sequence, appended] : appended_by(batch)) {
      bytes += cache.bytes_to_append(sequence, appended.tokens);
    }
    return bytes;
  }

  // What a thread has for itself: its stack, the kernel's half of that, and buffers that live as
  // long as it does.
  uint64_t bytes_per_thread() const {
    constexpr uint64_t kStack = uint64_t{36} << 10;
    const int64_t widest = std::max({config.hidden, config.q_width(), config.ffn});
    const int64_t unpacked = kUnpackedRows * (widest + 128) * 9 / 8;
    uint64_t arranged = 0;
    for (const ExpertLayer& layer : weights.experts) {
      if (layer.down.regrouped && !layer.down.arranged) {
        arranged = std::max(arranged, layer.down.file_bytes);
      }
    }
    return kStack + kKernelPerThread + static_cast<uint64_t>(unpacked + 4 * 2 * config.ffn) +
           arranged;
  }

  // Without a budget: a forward pass of as many tokens as there may be.
  uint64_t scratch() const {
    return static_cast<uint64_t>(micro_batch) * State::bytes_per_token(config) +
           State::fixed_bytes(config, pool.threads()) +
           static_cast<uint64_t>(pool.threads()) * bytes_per_thread();
  }

  // The same: what is needed in any case.
  uint64_t memory_of_weights() const {
    return anonymous_memory() + text_bytes + store.memory_bytes();
  }

  [[noreturn]] void fail_of_others(uint64_t needed) {
    fail(ErrorCode::kOutOfMemory,
         "needs {} MiB, the control group leaves {} MiB since others took their part", needed >> 20,
         groups.allowed() >> 20);
  }

  MemoryPlan plan_of(uint64_t staying) {
    // Batches and copies of a prompt are short beside its keys and values, but count.
    const auto rows = static_cast<uint64_t>(kPlannedRows * config.vocab) * sizeof(float) +
                      static_cast<uint64_t>(context) * 2 * sizeof(BatchItem);
    return {.budget = options.memory,
            .group_limit = groups.allowed(),
            .resident = staying,
            .program = resident_memory() - anonymous_memory() +
                       static_cast<uint64_t>(pool.threads()) * kKernelPerThread,
            .threads = static_cast<uint64_t>(pool.threads()) * bytes_per_thread(),
            .logits = rows + State::fixed_bytes(config, pool.threads()),
            .per_token = State::bytes_per_token(config),
            .tokens = micro_batch,
            .context = context,
            .kv_full = full_bytes(cache),
            .kv_least = full_bytes(make_cache(1)),
            .expert = cached->slot_bytes(),
            .experts = cached->most(),
            .fewest = cached->fewest()};
  }

  void plan_memory() {
    reader.emplace(
        AsyncReader::Options{.log = [this](std::string_view line) { notices.emplace_back(line); }});
    cached = std::make_unique<CachedExperts>(weights.experts, config.experts_used, *reader,
                                             options.page);
    if (!weights.embedding.matrix) {
      // What is not in the page cache io_uring leaves to threads of the kernel, and says nothing
      // where it may not have any.
      row_reader.emplace(AsyncReader::Options{.backend = AsyncReader::Backend::kPread, .depth = 4});
      embedding.emplace(weights.embedding, *row_reader);
    }
    const uint64_t staying = resident_memory() + text_bytes + store.memory_bytes();
    plan = plan_of(staying);
    // Slower prompts rather than a refusal: what works in a budget works in all that are larger.
    while (!plan.fits() && micro_batch > 1) {
      micro_batch /= 2;
      cache = make_cache(micro_batch);
      plan = plan_of(staying);
    }
  }

  void limit_memory() {
    file.expect_scattered_reads();
    if (store.expert_file() != nullptr) store.expert_file()->expect_scattered_reads();
    give_back_freed();  // buffers for reading
    plan.resident = std::max(plan.resident, resident_memory());
    fit_memory(0, 1);
    if (!options.hot_set.empty()) load_hot_set();
    loaded = true;
  }

  // Room for experts beside so many bytes of keys and values and scratch for a batch of so many
  // tokens, with so many rows of logits at once. Where the fewest experts would find no room beside
  // all that, there are fewer rows, then fewer tokens at once.
  // `keep_logits`: somebody may still read those of the last pass.
  void fit_memory(uint64_t kv, int64_t tokens, int64_t rows = kPlannedRows,
                  bool keep_logits = false) {
    int64_t scratch_tokens = tokens <= kFew ? std::min(kFew, plan.tokens) : plan.tokens;
    plan.group_limit = groups.allowed();
    const auto room = [&] {
      const auto more = static_cast<uint64_t>((rows - kPlannedRows) * config.vocab);
      return plan.room(kv + more * sizeof(float), scratch_tokens);
    };
    while (room() < cached->fewest() && rows > kPlannedRows) rows /= 2;
    while (room() < cached->fewest() && scratch_tokens > 1) scratch_tokens /= 2;
    sink_rows = rows;
    if (scratch_tokens < state.max_tokens()) resize_state(scratch_tokens, keep_logits);
    const int64_t experts = std::max(room(), cached->fewest());
    if (experts != cached->room()) cached->resize(experts);
    if (scratch_tokens > state.max_tokens()) resize_state(scratch_tokens, keep_logits);
  }

  void resize_state(int64_t tokens, bool keep_logits) {
    State other(config, tokens, pool.threads());
    if (keep_logits) other.take_logits(state);
    other.stats = state.stats;
    other.agreement = state.agreement;
    state = std::move(other);
    give_back_freed();  // its smaller buffers
  }

  // Tokens that may run at once: all their experts must find room in each layer.
  int64_t tokens_at_once() const {
    if (!cached || cached->room() >= config.experts) return state.max_tokens();
    return std::clamp<int64_t>(cached->room() / config.experts_used, 1, state.max_tokens());
  }

  void load_hot_set() {
    try {
      cached->warm(parse_hot_set(read_text_file(options.hot_set), config.layers, config.experts));
    } catch (const Error& e) {
      if (e.code() != ErrorCode::kNotFound) throw e.within(printable_path(options.hot_set));
    }
  }

  void save_hot_set() const {
    if (!loaded || options.hot_set.empty()) return;
    try {
      AtomicFile out(options.hot_set);
      const std::string text = format_hot_set(cached->rates(), config.layers, config.experts);
      out.write(std::as_bytes(std::span(text)));
      out.commit();
    } catch (const Error&) {  // it only makes the next start faster
    }
  }

  // A cache less precise than the weights would be the weakest link of an F32 model.
  KvType cache_type() const {
    if (options.cache_type) return *options.cache_type;
    return store.all_of(DType::kF32) ? KvType::kF32 : KvType::kI16;
  }

  void check(std::span<const BatchItem> batch) const {
    for (const BatchItem& item : batch) {
      if (item.token < 0 || item.token >= config.vocab) {
        fail(ErrorCode::kInvalidUsage, "token {}: want 0..{}", item.token, config.vocab - 1);
      }
      if (item.position < 0 || item.position >= context) {
        fail(ErrorCode::kInvalidUsage, "position {}: want 0..{}", item.position, context - 1);
      }
      if (item.sequence < 0 || item.sequence >= options.sequences) {
        fail(ErrorCode::kInvalidUsage, "sequence {}: want 0..{}", item.sequence,
             options.sequences - 1);
      }
    }
    check_positions(batch);
  }

  void check_positions(std::span<const BatchItem> batch) const {
    // Of each sequence, -1 before its first item.
    std::vector<int64_t> next(static_cast<size_t>(options.sequences), -1);
    for (const BatchItem& item : batch) {
      int64_t& wanted = next[static_cast<size_t>(item.sequence)];
      if (wanted < 0) {
        cache.check_position(item.sequence, item.position);
      } else if (item.position != wanted) {
        fail(ErrorCode::kInvalidUsage, "sequence {}: position {} after {}: want {}", item.sequence,
             item.position, wanted - 1, wanted);
      }
      wanted = item.position + 1;
    }
  }

  void publish() {
    const std::lock_guard lock(published_mutex);
    published.stats = state.stats;
    published.head_agreement = state.agreement;
    published.memory = memory();
    published.positions.clear();
    for (SequenceId id = 0; id < options.sequences; ++id) {
      published.positions.push_back(cache.length(id));
    }
  }

  // At the end of a pass, however it ends.
  struct Published {
    Impl& impl;
    ~Published() { impl.publish(); }
  };

  // What was read counts whether it was an expert or a row of the embedding.
  CachedExpertsStats read_so_far() const {
    if (!cached) return {};
    CachedExpertsStats stats = cached->stats();
    if (row_reader) {
      const ReadStats rows = row_reader->stats();
      stats.bytes_read += rows.bytes_read;
      stats.stall_seconds += rows.stall_seconds;
    }
    return stats;
  }

  std::optional<MemoryReport> memory() const {
    if (!cached) return std::nullopt;
    return MemoryReport{plan, cached->room(), read_so_far()};
  }

  // Refuses what is wrong with a batch, and has `part` run it in micro-batches. There is room made
  // before each: in a long prompt, somebody else may want memory meanwhile.
  void run(std::span<const BatchItem> batch, int64_t rows, const Stop& stop,
           const std::function<void(std::span<const BatchItem>)>& part) {
    const DefaultFloatMode floats;
    check(batch);
    stop.check();
    for (const auto& [sequence, appended] : appended_by(batch)) {
      cache.truncate(sequence, appended.position);
    }
    const auto tokens = static_cast<int64_t>(batch.size());
    while (!batch.empty()) {
      stop.check();
      if (cached) fit_memory(cache_bytes_after(batch), tokens, rows);
      const auto n = std::min(static_cast<size_t>(tokens_at_once()), batch.size());
      part(batch.first(n));
      batch = batch.subspan(n);
    }
  }

  // What the store did since it had seen `before`.
  void count_reads(const CachedExpertsStats& before, uint64_t loads_before) {
    Stats& stats = state.stats;
    if (!cached) {
      stats.found_experts += stats.expert_loads - loads_before;
      return;
    }
    const CachedExpertsStats now = read_so_far();
    stats.found_experts += now.found - before.found;
    stats.disk_bytes += now.bytes_read - before.bytes_read;
    stats.wait_seconds += now.stall_seconds - before.stall_seconds;
  }

  // What was read for good was checked when it was; with a budget the files are still read.
  void check_files() {
    if (!cached) return;
    cached->check_files();
    store.check_files();  // rows of the embedding, of another part perhaps
  }

  void check_finite(std::span<const float> rows) const {
    const auto good = [](float x) { return std::isfinite(x) || x == -HUGE_VALF; };
    const bool sparse = options.head.mode == LmHead::kSparse;  // which marks rows with -infinity
    if (!std::ranges::all_of(rows, [&](float x) { return sparse ? good(x) : std::isfinite(x); })) {
      fail(ErrorCode::kInvalidData, "the model computed a logit that is not a finite number");
    }
  }

  std::span<const float> run_forward(Step& step) {
    try {
      return forward(*decoder, step);
    } catch (const Error& e) {
      // What is wrong with the weights may be that somebody wrote to their file just now.
      if (e.code() == ErrorCode::kInvalidData) check_files();
      throw;
    }
  }

  // What is wrong with the model's numbers is said of its file; what reads it has said so already.
  std::span<const float> evaluate_micro(std::span<const BatchItem> batch, const Stop& stop,
                                        const LogitsSink& sink = {}) {
    try {
      return evaluate_checked(batch, stop, sink);
    } catch (const Error& e) {
      const bool named = std::string_view(e.what()).find(name) != std::string_view::npos;
      if (named || e.code() != ErrorCode::kInvalidData) throw;
      throw e.within(name);
    }
  }

  // The checks come before anybody sees a logit.
  std::span<const float> evaluate_checked(std::span<const BatchItem> batch, const Stop& stop,
                                          const LogitsSink& sink) {
    const Published published_at_end{*this};
    const Reserved reserved(cache, appended_by(batch));
    ExpertStore& experts = cached ? static_cast<ExpertStore&>(*cached) : *resident;
    Step step{config, weights, kernels, pool, experts, cache, state, batch, options.head, stop};
    if (embedding) step.embedding = &*embedding;
    if (observer) step.observer = &observer;
    if (routing_observer) step.routing_observer = &routing_observer;
    const LogitsSink checked = [&](std::span<const float> rows) {
      check_files();
      check_finite(rows);
      sink(rows);
    };
    if (sink) step.sink = &checked;
    step.sink_rows = sink_rows;
    const uint32_t calls = pool.calls();
    const CachedExpertsStats seen = read_so_far();
    const uint64_t loads = state.stats.expert_loads;
    const std::span<const float> out = run_forward(step);
    check_files();
    state.stats.pool_calls += pool.calls() - calls;
    count_reads(seen, loads);
    check_finite(out);
    reserved.commit();
    return out;
  }
};

Engine::Engine(const std::string& path, EngineOptions options, const Stop& stop) {
  if (options.micro_batch < 1 || options.sequences < 1 || options.context < 0) {
    fail(ErrorCode::kInvalidUsage, "batch size, sequences and context must be positive");
  }
  const bool limited = options.memory > 0;
  impl_ = std::make_unique<Impl>(path, options);
  if (limited) {
    impl_->plan.check();
  } else {
    check_without_budget(path, std::move(options));
  }
  impl_->load(stop);
}

// A model that cannot fit is not begun with: the kernel would kill the process in the middle.
void Engine::check_without_budget(const std::string& path, EngineOptions options) {
  const uint64_t needed = impl_->memory_of_weights();
  const uint64_t group = impl_->groups.allowed();
  const MachineMemory machine = options.machine ? options.machine() : read_machine_memory();
  const uint64_t all = machine.total == 0 ? UINT64_MAX : machine.total + machine.swap;
  const uint64_t allowed = std::min(group, all);
  if (needed > allowed) {
    impl_.reset();
    options.memory = allowed;
    options.hot_set = {};
    options.encode = {};
    const Impl limited(path, std::move(options));  // what would a budget make of it?
    fail_without_budget(needed, allowed, group < all, limited.plan);
  }
  const uint64_t full = needed + impl_->full_bytes(impl_->cache) + impl_->scratch();
  const uint64_t free = std::min(group, machine.total == 0 ? UINT64_MAX : machine.available);
  if (full > free && options.note) {
    options.note(fmt::format(
        "needs {} MiB with a full context, {} MiB are free: --memory SIZE makes it do with less",
        full >> 20, free >> 20));
  }
}

Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;

const ModelConfig& Engine::config() const { return impl_->config; }
const Tokenizer& Engine::tokenizer() const { return impl_->tokenizer; }
const GgufModel& Engine::file() const { return impl_->file; }
const std::vector<std::string>& Engine::notices() const { return impl_->notices; }
const std::vector<std::string>& Engine::ignored_keys() const { return impl_->ignored_keys; }
std::string_view Engine::kernels() const { return impl_->kernels.name; }
int Engine::threads() const { return impl_->pool.threads(); }
int64_t Engine::context() const { return impl_->context; }
int64_t Engine::micro_batch() const { return impl_->micro_batch; }
int64_t Engine::first_kept(int64_t written) const { return impl_->cache.first_kept_after(written); }
KvType Engine::cache_type() const { return impl_->cache_type(); }
uint64_t Engine::weight_bytes() const { return impl_->store.bytes(); }
uint64_t Engine::streamed_bytes() const { return impl_->store.streamed_bytes(); }
const std::vector<ExpertLayer>& Engine::experts() const { return impl_->weights.experts; }
uint64_t Engine::cache_bytes() const { return impl_->full_bytes(impl_->cache); }
bool Engine::has_predictor() const { return static_cast<bool>(impl_->weights.predictor_up); }
const LmHeadAgreement& Engine::head_agreement() const { return impl_->state.agreement; }
const Stats& Engine::stats() const { return impl_->state.stats; }
void Engine::reset_stats() {
  impl_->state.stats = {};
  impl_->publish();
}

std::optional<MemoryReport> Engine::memory() const { return impl_->memory(); }

EngineSnapshot Engine::snapshot() const {
  const std::lock_guard lock(impl_->published_mutex);
  return impl_->published;
}

void Engine::set_memory(uint64_t budget) {
  if (!impl_->cached) fail(ErrorCode::kInvalidUsage, "the model was loaded without a budget");
  MemoryPlan plan = impl_->plan;
  plan.budget = budget;
  plan.group_limit = UINT64_MAX;  // whatever it is, the next pass keeps to it
  plan.tokens = impl_->micro_batch;
  plan.kv_least = plan.kv_full;                              // keys and values are where they are
  while (!plan.fits() && plan.tokens > 1) plan.tokens /= 2;  // slower prompts rather than a refusal
  plan.check();
  impl_->plan = plan;
  impl_->fit_memory(impl_->cache.bytes_in_use(), 1, kPlannedRows, true);
  impl_->publish();
}

void Engine::observe(Observer observer) { impl_->observer = std::move(observer); }
void Engine::observe_routing(RoutingObserver observer) {
  impl_->routing_observer = std::move(observer);
}

std::span<const float> Engine::evaluate(std::span<const BatchItem> batch, const Stop& stop) {
  std::span<const float> rows;
  impl_->logits.clear();
  impl_->run(batch, kPlannedRows, stop, [&](std::span<const BatchItem> part) {
    rows = impl_->evaluate_micro(part, stop);
    if (part.size() == batch.size()) return;
    impl_->logits.insert(impl_->logits.end(), rows.begin(), rows.end());
    rows = impl_->logits;
  });
  return rows;
}

void Engine::evaluate(std::span<const BatchItem> batch, const LogitsSink& sink, const Stop& stop) {
  impl_->run(batch, kSinkRows, stop,
             [&](std::span<const BatchItem> part) { impl_->evaluate_micro(part, stop, sink); });
}

std::vector<BatchItem> make_batch(std::span<const Token> tokens, int64_t position,
                                  bool all_logits) {
  std::vector<BatchItem> batch;
  batch.reserve(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    batch.push_back({.token = tokens[i],
                     .position = static_cast<int32_t>(position + static_cast<int64_t>(i)),
                     .sequence = 0,
                     .logits = all_logits || i + 1 == tokens.size()});
  }
  return batch;
}

}  // namespace st

#include "engine/engine.h"

#include <mutex>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/float_mode.h"
#include "engine/feeding.h"
#include "model/forward.h"

namespace st {

struct Engine::Impl {
  const EngineOptions options;
  const std::shared_ptr<const Model> model;
  const KernelTable& kernels;
  ThreadPool pool;
  MemoryKeeper memory;
  LmHeadOptions head;
  Observer observer;
  RoutingObserver routing_observer;
  InputObserver* input_observer = nullptr;
  std::optional<Feeding> feeding;  // of the last evaluate(), whose outcomes are still read
  mutable std::mutex published_mutex;
  EngineSnapshot published;

  Impl(std::shared_ptr<const Model> shared, EngineOptions opts)
      : options(std::move(opts)),
        model(std::move(shared)),
        kernels(pick_kernels(options.kernels)),
        pool(options.threads),
        memory(*model, options, pool),
        head(options.head) {
    head.always = model->tokenizer().vocab().end_of_generation;
  }

  // With memory divided and nothing read.
  static std::unique_ptr<Impl> planned(std::shared_ptr<const Model> model, EngineOptions options) {
    if (options.micro_batch < 1 || options.sequences < 1 || options.context < 0) {
      fail(ErrorCode::kInvalidUsage, "batch size, sequences and context must be positive");
    }
    if (model->options().stream != (options.memory > 0)) {
      fail(ErrorCode::kInvalidUsage,
           "a model streams its experts if, and only if, there is a budget");
    }
    return std::make_unique<Impl>(std::move(model), std::move(options));
  }

  void publish() {
    EngineSnapshot now{memory.state().stats, memory.state().agreement, memory.report(),
                       memory.cache().positions()};
    const std::lock_guard lock(published_mutex);
    published = std::move(now);
  }

  // At the end of a pass, however it ends.
  struct Published {
    Impl& impl;
    ~Published() { impl.publish(); }
  };

  // Evaluates what it can of the feeds. Room is made before each pass: in a long prompt, somebody
  // else may want memory meanwhile.
  std::span<Outcome> run(std::span<const Feed> feeds, const LogitsSink* sink, const Stop& stop) {
    const DefaultFloatMode floats;
    const auto start = Clock::now();
    feeding.emplace(feeds, memory.cache(), model->config().vocab, head.mode == LmHead::kSparse,
                    memory.each_at_once());
    try {
      while (!feeding->finished()) {
        stop.check();
        memory.fit({.kv = feeding->cache_bytes(),
                    .tokens = feeding->tokens_left(),
                    .rows = sink != nullptr ? kSinkRows : feeding->rows_left(),
                    .rows_may_be_fewer = sink != nullptr});
        run_pass(sink, stop);
      }
    } catch (const Error& e) {
      feeding->fail_rest(e);
    }
    const std::span<Outcome> outcomes = feeding->outcomes();
    for (Outcome& outcome : outcomes) {
      if (outcome.error) outcome.error = named(*outcome.error);
      outcome.seconds = seconds_since(start);
    }
    return outcomes;
  }

  void run_pass(const LogitsSink* sink, const Stop& stop) {
    const Published at_end{*this};
    const Feeding::Pass pass = feeding->next(memory.tokens_at_once());
    State& state = memory.state();
    Step step{model->config(), model->weights(), kernels, pool, memory.experts(), memory.cache(),
              state,           pass.batch(),     head,    stop};
    step.loader = memory.loader();
    step.embedding = memory.embedding();
    step.token_rows = memory.token_rows();
    if (observer) step.observer = &observer;
    if (routing_observer) step.routing_observer = &routing_observer;
    step.input_observer = input_observer;
    const LogitsSink checked = [&](std::span<const float> rows) {
      memory.check_files();
      feeding->check(state.failures, rows);
      (*sink)(rows);
    };
    if (sink != nullptr) step.sink = &checked;
    step.sink_rows = memory.rows_at_once();
    const uint32_t calls = pool.calls();
    const CachedExpertsStats seen = memory.read_so_far();
    const uint64_t loads = state.stats.expert_loads;
    const std::span<const float> rows = run_forward(step);
    state.stats.pool_calls += pool.calls() - calls;
    count_reads(seen, loads);
    feeding->take(pass, state.failures, rows);
  }

  // What is wrong with weights or numbers may be that somebody wrote to their file just now.
  std::span<const float> run_forward(Step& step) {
    try {
      const std::span<const float> rows = forward(model->decoder(), step);
      memory.check_files();
      return rows;
    } catch (const Error& e) {
      if (e.code() == ErrorCode::kInvalidData) memory.check_files();
      throw;
    }
  }

  // What the store did since it had seen `before`.
  void count_reads(const CachedExpertsStats& before, uint64_t loads_before) {
    Stats& stats = memory.state().stats;
    const CachedExpertsStats now = memory.read_so_far();
    stats.found_experts +=
        options.memory == 0 ? stats.expert_loads - loads_before : now.found - before.found;
    stats.disk_bytes += now.bytes_read - before.bytes_read;
    stats.wait_seconds += now.stall_seconds - before.stall_seconds;
  }

  // What is wrong with the model's numbers is said of its file; what reads it has said so already.
  Error named(const Error& error) const {
    const WeightLoader* loader = memory.loader();
    if (loader != nullptr && loader->failed() && error.code() != ErrorCode::kInvalidUsage) {
      return model->named(error);
    }
    const bool has_name = std::string_view(error.what()).find(model->name()) != std::string::npos;
    return has_name || error.code() != ErrorCode::kInvalidData ? error
                                                               : error.within(model->name());
  }

  std::span<const float> run_one(const Feed& feed, const LogitsSink* sink, const Stop& stop) {
    const Outcome& outcome = run({&feed, 1}, sink, stop).front();
    if (outcome.error) throw *outcome.error;
    return outcome.logits;
  }
};

namespace {

std::shared_ptr<const Model> open_model(const std::string& path, const EngineOptions& options) {
  return std::make_shared<const Model>(path, ModelOptions{.stream = options.memory > 0});
}

}  // namespace

Engine::Engine(const std::string& path, EngineOptions options, const Stop& stop)
    : Engine(open_model(path, options), std::move(options), stop) {}

Engine::Engine(std::shared_ptr<const Model> model, EngineOptions options, const Stop& stop)
    : impl_(Impl::planned(std::move(model), std::move(options))) {
  impl_->memory.refuse_what_does_not_fit();
  impl_->memory.load(stop);
  impl_->publish();
}

void Engine::check(std::shared_ptr<const Model> model, EngineOptions options) {
  const auto impl = Impl::planned(std::move(model), std::move(options));
  impl->memory.refuse_what_does_not_fit();
  if (const auto memory = impl->memory.report()) memory->plan.check_for_any_run();
}

Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;

const Model& Engine::model() const { return *impl_->model; }
std::string_view Engine::kernels() const { return impl_->kernels.name; }
int Engine::threads() const { return impl_->pool.threads(); }
int64_t Engine::context() const { return impl_->memory.context(); }
KvType Engine::cache_type() const { return impl_->memory.cache_type(); }
uint64_t Engine::full_cache_bytes() const { return impl_->memory.full_cache_bytes(); }
KvPool& Engine::cache() { return impl_->memory.cache(); }

void Engine::restore(SequenceId id, int64_t positions, std::span<const int64_t> first,
                     const KvPool::Fill& fill) {
  KvPool& cache = impl_->memory.cache();
  cache.truncate(id, 0);
  impl_->memory.fit({.kv = cache.bytes_in_use() + cache.bytes(positions), .tokens = 1, .rows = 1});
  cache.restore(id, positions, first, fill);
}

std::string Engine::hot_set() const { return impl_->memory.hot_set(); }
void Engine::begin_with(std::string_view hot_set) { impl_->memory.begin_with(hot_set); }

bool Engine::holds_expert(int64_t layer, int32_t expert) const {
  return impl_->memory.experts().ready(layer, expert);
}

std::optional<MemoryReport> Engine::memory() const { return impl_->memory.report(); }
const LmHeadAgreement& Engine::head_agreement() const { return impl_->memory.state().agreement; }
const Stats& Engine::stats() const { return impl_->memory.state().stats; }

std::vector<std::string> Engine::notices() const {
  std::vector<std::string> notices = impl_->model->notices();
  const std::vector<std::string>& more = impl_->memory.notices();
  notices.insert(notices.end(), more.begin(), more.end());
  return notices;
}

EngineSnapshot Engine::snapshot() const {
  const std::lock_guard lock(impl_->published_mutex);
  return impl_->published;
}

std::span<const Outcome> Engine::evaluate(std::span<const Feed> feeds, const Stop& stop) {
  return impl_->run(feeds, nullptr, stop);
}

std::span<const float> Engine::evaluate(const Feed& feed, const Stop& stop) {
  return impl_->run_one(feed, nullptr, stop);
}

void Engine::evaluate(const Feed& feed, const LogitsSink& sink, const Stop& stop) {
  impl_->run_one(feed, &sink, stop);
}

void Engine::check_memory(uint64_t budget) const {
  if (impl_->options.memory == 0) {
    fail(ErrorCode::kInvalidUsage, "the model was loaded without a budget");
  }
  impl_->memory.plan_for(budget);
}

void Engine::set_memory(uint64_t budget) {
  check_memory(budget);
  impl_->memory.set_budget(budget);
  impl_->publish();
}

void Engine::reset_stats() {
  impl_->memory.state().stats = {};
  impl_->publish();
}

void Engine::observe(Observer observer) { impl_->observer = std::move(observer); }
void Engine::observe_routing(RoutingObserver observer) {
  impl_->routing_observer = std::move(observer);
}
void Engine::observe_inputs(InputObserver* observer) { impl_->input_observer = observer; }

}  // namespace st

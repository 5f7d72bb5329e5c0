#include <algorithm>
#include <atomic>
#include <optional>
#include <vector>

#include "base/round.h"
#include "model/linear.h"
#include "model/moe.h"
#include "model/step.h"
#include "tensor/layout.h"

namespace st {
namespace {

// What threads take at a time is a piece of an expert, as large as keeps all of them busy to the
// end: memory is read faster in one go.
constexpr int64_t kPieces = 4;               // per thread, at least
constexpr int64_t kNeurons = kUnpackedRows;  // a piece is a multiple of
constexpr int64_t kColumns = 128;            // the same for the output; kernels want this one

// Below this share of active gates, up rows are multiplied token by token instead of for all tokens
// of an expert: half the speed per product, but only for the products that count.
constexpr double kSparse = 0.3;

// An expert of this layer that has work, its pairs and their inputs.
struct Group {
  int32_t expert;
  int64_t begin, end;  // pairs
  Activations in;      // (pairs, D)

  int64_t pairs() const { return end - begin; }
};

// Active neurons, found once and used in turn.
struct Active {
  explicit Active(int64_t F)  // kernels write up to a vector beyond
      : index(static_cast<size_t>(F + 16)), values(static_cast<size_t>(F + 16)) {}
  std::vector<int32_t> index;
  std::vector<float> values;
  int64_t count = 0;

  void find(const KernelTable& kernels, const float* x, int64_t n, int64_t first) {
    count = kernels.find_nonzero(x, n, static_cast<int32_t>(first), index.data(), values.data());
  }
};

class Experts {
 public:
  Experts(Step& step, int64_t layer);
  void run();

 private:
  void prepare();
  void gate_up(const Group& g, int64_t begin, int64_t end);
  int64_t up_of_few(const Group& g, const Matrix& up, int64_t begin, int64_t end);
  int64_t up_of_many(const Group& g, const Matrix& up, int64_t begin, int64_t end);
  void down(const Group& g, int64_t begin, int64_t end);
  void combine(int64_t begin, int64_t end);
  void count();

  // A matrix of the group's expert, which may have to arrive first.
  Matrix await(const Group& g, ExpertPart part) { return s.experts.await(layer, g.expert, part); }

  // h of one pair: relu(gate) until its up values are known, then relu(gate) * up.  (F)
  float* hidden(int64_t pair) { return s.state.gate.data() + pair * F; }
  const float* h_of(int64_t pair) const {
    return s.state.h.data() + int64_t{plan.token[static_cast<size_t>(pair)]} * D;
  }

  Step& s;
  const int64_t layer;
  const ExpertLayer& shape;
  const ExpertPlan& plan;
  const int64_t D, F;
  std::vector<Group> groups;
  Q8Rows h_q8{};                     // (T, D)
  std::atomic<int64_t> active_{0};   // (pair, neuron) with a positive gate
  std::atomic<int64_t> up_rows_{0};  // of all experts, each once
};

Experts::Experts(Step& step, int64_t l)
    : s(step),
      layer(l),
      shape(step.experts.layer(l)),
      plan(step.state.plan),
      D(step.config.hidden),
      F(step.config.ffn) {
  for (size_t i = 0; i < plan.experts.size(); ++i) {
    groups.push_back({plan.experts[i], plan.begin[i], plan.begin[i + 1], {}});
  }
}

// Brings each expert's inputs together, in the form its weights want.
void Experts::prepare() {
  const DType gate = shape.gate.first.type, up = shape.up.first.type;
  const bool q8 = wants_q8(gate) || wants_q8(up);
  const bool floats = !wants_q8(gate) || !wants_q8(up);
  if (q8) h_q8 = s.state.q8.quantize(s.kernels, s.pool, s.state.h.data(), s.tokens(), D);
  s.pool.parallel_for(
      static_cast<int64_t>(groups.size()), 1,
      [&](int64_t i, int64_t end) {
        for (; i < end; ++i) {
          Group& g = groups[static_cast<size_t>(i)];
          g.in = {.tokens = g.pairs(), .cols = D};
          if (q8) {
            g.in = s.state.pair_q8.pack(s.kernels, h_q8, plan.token.data() + g.begin, g.begin, i,
                                        g.pairs(), D);
          }
          if (!floats) continue;
          g.in.x = s.state.pair_in.data() + g.begin * D;
          for (int64_t p = g.begin; p < g.end; ++p) {
            std::copy_n(h_of(p), D, s.state.pair_in.data() + p * D);
          }
        }
      },
      static_cast<int64_t>(plan.token.size()) * D);
}

// Neurons [begin, end) of one expert for all its pairs: hidden = relu(Gate h) * (Up h).
void Experts::gate_up(const Group& g, int64_t begin, int64_t end) {
  linear_rows(s.kernels, await(g, ExpertPart::kGate), begin, end, g.in, hidden(g.begin) + begin, F);
  int64_t active = 0;
  for (int64_t p = g.begin; p < g.end; ++p) {
    active += s.kernels.relu(hidden(p) + begin, end - begin);
  }
  active_ += active;
  const auto all = static_cast<double>(g.pairs() * (end - begin));
  const bool few = g.in.tiled == 0 || static_cast<double>(active) < kSparse * all;
  const Matrix up = await(g, ExpertPart::kUp);
  up_rows_ += few ? up_of_few(g, up, begin, end) : up_of_many(g, up, begin, end);
}

// Token by token, only the rows that it needs. Returns how many rows some token needs.
int64_t Experts::up_of_few(const Group& g, const Matrix& w, int64_t begin, int64_t end) {
  Active active(end - begin);
  std::vector<float> up(active.index.size());
  std::vector<uint8_t> needed(static_cast<size_t>(end - begin));
  for (int64_t p = g.begin; p < g.end; ++p) {
    float* h = hidden(p);
    active.find(s.kernels, h + begin, end - begin, begin);
    Activations in{.tokens = 1, .cols = D, .x = h_of(p)};
    if (h_q8.q != nullptr) {
      const int64_t t = plan.token[static_cast<size_t>(p)];
      const int64_t blocks = D / kBlock;
      in.rows = {h_q8.q + t * D, h_q8.d + t * blocks, h_q8.sum + t * blocks};
    }
    linear_indexed(s.kernels, w, active.index.data(), active.count, in, up.data(), active.count);
    for (int64_t i = 0; i < active.count; ++i) {
      const int32_t j = active.index[static_cast<size_t>(i)];
      h[j] *= up[static_cast<size_t>(i)];
      needed[static_cast<size_t>(j - begin)] = 1;
    }
  }
  return std::ranges::count(needed, 1);
}

int64_t Experts::up_of_many(const Group& g, const Matrix& w, int64_t begin, int64_t end) {
  float* up = s.state.up.data() + g.begin * F;
  linear_rows(s.kernels, w, begin, end, g.in, up + begin, F);
  for (int64_t p = g.begin; p < g.end; ++p, up += F) {
    s.kernels.multiply_active(hidden(p) + begin, up + begin, end - begin);
  }
  return end - begin;
}

// Columns [begin, end) of Down hidden for all pairs of one expert.
void Experts::down(const Group& g, int64_t begin, int64_t end) {
  const Matrix w = await(g, ExpertPart::kDown);
  const bool q4 = w.type == DType::kQ4_0;
  if (shape.layout == DownLayout::kOutputs) {
    Activations in{.tokens = g.pairs(), .cols = F, .x = hidden(g.begin)};
    std::optional<Q8Buffer> buffer;
    if (is_split(w.type)) {  // only where D has no whole blocks, so that nothing was regrouped
      ThreadPool here(1);
      in.rows = buffer.emplace(in.tokens, F).quantize(s.kernels, here, in.x, in.tokens, F);
    }
    return linear_rows(s.kernels, w, begin, end, in, s.state.down.data() + g.begin * D + begin, D);
  }
  Active active(F);
  std::vector<int8_t> q(static_cast<size_t>(F));
  std::vector<float> d(static_cast<size_t>(F / kBlock + 1));
  std::vector<int32_t> sums(d.size());
  for (int64_t p = g.begin; p < g.end; ++p) {
    float* out = s.state.down.data() + p * D;
    active.find(s.kernels, hidden(p), F, 0);
    if (shape.layout == DownLayout::kRegrouped) {
      s.kernels.quantize_q8(hidden(p), F, q.data(), d.data(), sums.data());
      const auto sum = q4 ? s.kernels.sum_columns_q4_0 : s.kernels.sum_columns_q8_0;
      sum(neuron_rows(w), active.index.data(), active.count, q.data(), d.data(), D, begin, end,
          p > g.begin, out);
    } else if (is_split(w.type)) {
      const auto sum = q4 ? s.kernels.sum_rows_q4_0 : s.kernels.sum_rows_q8_0;
      sum(w.quant_rows(), active.index.data(), active.values.data(), active.count, D, begin, end,
          p > g.begin, out);
    } else {
      std::fill(out + begin, out + end, 0.0f);
      for (int64_t i = 0; i < active.count; ++i) {
        const auto at = static_cast<size_t>(i);
        axpy_row(s.kernels, w, active.index[at], begin, end - begin, active.values[at],
                 out + begin);
      }
    }
  }
}

// x[t] += sum over slots of weight * down, columns [begin, end), slots in order of rank.
void Experts::combine(int64_t begin, int64_t end) {
  const int64_t k = s.config.experts_used;
  for (int64_t t = 0; t < s.tokens(); ++t) {
    float* x = s.state.x.data() + t * D;
    for (int64_t slot = 0; slot < k; ++slot) {
      const auto i = static_cast<size_t>(t * k + slot);
      s.kernels.axpy_f32(plan.weights[i], s.state.down.data() + plan.pair[i] * D + begin,
                         end - begin, x + begin);
    }
  }
}

void Experts::count() {
  Stats& stats = s.state.stats;
  const auto pairs = static_cast<uint64_t>(plan.token.size());
  const Matrix &gate = shape.gate.first, &up = shape.up.first, &down = shape.down.first;
  const auto active = static_cast<uint64_t>(active_);
  const uint64_t neurons = pairs * static_cast<uint64_t>(F);
  const bool sparse_down = shape.layout != DownLayout::kOutputs;
  const auto up_rows = static_cast<uint64_t>(up_rows_);
  stats.expert_uses += pairs;
  stats.expert_loads += groups.size();
  stats.neurons += neurons;
  stats.active_neurons += active;
  stats.weight_bytes += groups.size() * gate.bytes() + up_rows * up.stride() +
                        (sparse_down ? up_rows * down.stride() : groups.size() * down.bytes());
  stats.multiply_adds +=
      (neurons + active + (sparse_down ? active : neurons)) * static_cast<uint64_t>(D);
}

void Experts::run() {
  prepare();
  // Those that are still on their way come last. Not before: prepare() counts on their order.
  const auto late = std::ranges::stable_partition(
      groups, [&](const Group& g) { return s.experts.ready(layer, g.expert); });
  const auto experts = static_cast<int64_t>(groups.size());
  const int64_t work = static_cast<int64_t>(plan.token.size()) * F * D;  // of each matrix
  const auto share = [&](int64_t items, int64_t grain, int64_t pieces, auto&& body) {
    // No more pieces than items, however many threads there are.
    const int64_t wanted = std::clamp<int64_t>(pieces * s.pool.threads() / experts, 1, items);
    const int64_t size = round_up(items / wanted, grain);
    const int64_t chunks = div_up(items, size);
    const auto pieces_of_all = [&](int64_t i, int64_t end) {
      for (; i < end && !s.pool.failed(); ++i) {
        const int64_t begin = i % chunks * size;
        s.stop.check();
        body(groups[static_cast<size_t>(i / chunks)], begin, std::min(items, begin + size));
      }
    };
    if (late.empty()) {
      s.pool.parallel_for(experts * chunks, 1, pieces_of_all, work);
    } else {
      s.pool.parallel_in_order(experts * chunks, 1, pieces_of_all, work);
    }
  };
  share(F, kNeurons, kPieces,
        [&](const Group& g, int64_t begin, int64_t end) { gate_up(g, begin, end); });
  share(D, kColumns, kPieces / 2,
        [&](const Group& g, int64_t begin, int64_t end) { down(g, begin, end); });
  s.pool.parallel_for(
      D, kColumns, [&](int64_t begin, int64_t end) { combine(begin, end); },
      static_cast<int64_t>(plan.token.size()) * D);
  count();
}

}  // namespace

void moe_ffn(Step& s, int64_t l) { Experts(s, l).run(); }

}  // namespace st

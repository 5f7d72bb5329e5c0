// The feed-forward network of the chosen experts, in three steps on all threads: neurons from the
// input (gate_up; where gates are cut: gate, cutoffs, up), outputs of each expert from its neurons
// (down), their weighted sum (combine).
#include "model/expert_ffn.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "base/round.h"
#include "model/linear.h"
#include "model/step.h"
#include "tensor/regroup.h"

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

// An expert of the layer that has work, its pairs and their inputs: first of gate and up, then, of
// a down matrix whose rows are outputs, the neurons.
struct Group {
  int32_t expert;
  int64_t number;      // of the group, in the order of pairs
  int64_t begin, end;  // pairs
  Activations in;      // (pairs, D), then (pairs, F)

  int64_t pairs() const { return end - begin; }
};

// One call of expert_ffn().
struct Call {
  Step& s;
  const int64_t layer;
  const float* in;  // (T, D)
  float* out;       // (T, D)
  const ExpertLayer& experts = s.experts.layer(layer);
  const ExpertPlan& plan = s.state.plan;
  const Ffn& ffn = s.config.ffn(layer);
  const int64_t D = s.config.hidden, F = ffn.width;
  const int64_t pairs = std::ssize(plan.token);
  std::vector<Group> groups = {};
  bool late = false;                   // the last groups' experts are still on their way
  Q8Rows in_q8 = {};                   // (T, D)
  std::vector<float> cutoffs = {};     // (pairs), where gates are cut
  std::atomic<int64_t> active = 0;     // (pair, neuron) that are not skipped
  std::atomic<int64_t> needed_up = 0;  // up rows of all experts, each once

  // A matrix of the group's expert, which may have to arrive first.
  Matrix await(const Group& g, ExpertPart part) { return s.experts.await(layer, g.expert, part); }

  // Of one pair: the gates until their up values are known, then act(gate) * up.  (F)
  float* neurons(int64_t pair) { return s.state.gate.data() + pair * F; }
  float* down(int64_t pair) { return s.state.down.data() + pair * D; }  // (D)
  int64_t token(int64_t pair) const { return plan.token[static_cast<size_t>(pair)]; }
  bool rows_are_outputs() const { return experts.layout == DownLayout::kOutputs; }
};

// Brings each expert's inputs together, in the form its weights want.
void gather(Call& c) {
  const KernelTable& kernels = c.s.kernels;
  const bool gate_q8 = kernels.format(c.experts.gate.prototype.type).wants_q8();
  const bool up_q8 = kernels.format(c.experts.up.prototype.type).wants_q8();
  if (gate_q8 || up_q8) {
    c.in_q8 = c.s.state.q8.quantize(kernels, c.s.pool, c.in, c.s.tokens(), c.D);
  }
  if (!c.ffn.routed) {  // one expert has all tokens, in order
    Group& g = c.groups.front();
    g.in = {.tokens = c.pairs, .cols = c.D};
    if (gate_q8 || up_q8) g.in = c.s.state.q8.pack(kernels, c.s.pool, c.in_q8, c.pairs, c.D);
    g.in.x = c.in;
    return;
  }
  const auto gather_groups = [&](int64_t i, int64_t end) {
    for (; i < end; ++i) {
      Group& g = c.groups[static_cast<size_t>(i)];
      g.in = {.tokens = g.pairs(), .cols = c.D};
      if (gate_q8 || up_q8) {
        g.in = c.s.state.pair_q8.pack(kernels, c.in_q8, c.plan.token.data() + g.begin, g.begin,
                                      g.number, g.pairs(), c.D);
      }
      if (gate_q8 && up_q8) continue;
      float* x = c.s.state.pair_in.data();
      for (int64_t p = g.begin; p < g.end; ++p) {
        std::copy_n(c.in + c.token(p) * c.D, c.D, x + p * c.D);
      }
      g.in.x = x + g.begin * c.D;
    }
  };
  c.s.pool.parallel_for(std::ssize(c.groups), 1, gather_groups, c.pairs * c.D);
}

// A range of one expert's neurons, or of the columns of its output.
struct Piece {
  const Group& group;
  int64_t begin, end;
};

// All `items` of every expert, cut into pieces of which each has a multiple of `grain`. No more
// pieces than items, however many threads there are.
struct Pieces {
  Pieces(const Call& c, int64_t n, int64_t grain, int64_t per_thread) : groups(c.groups), items(n) {
    const int64_t wanted =
        std::clamp<int64_t>(per_thread * c.s.pool.threads() / std::ssize(groups), 1, items);
    size = round_up(items / wanted, grain);
    per_expert = div_up(items, size);
  }
  int64_t count() const { return std::ssize(groups) * per_expert; }
  Piece operator[](int64_t i) const {
    const int64_t begin = i % per_expert * size;
    return {groups[static_cast<size_t>(i / per_expert)], begin, std::min(items, begin + size)};
  }

  const std::vector<Group>& groups;
  int64_t items, size, per_expert;
};

// Calls step(call, piece, scratch) for all pieces, those of experts that are here first.
void for_each(Call& c, const Pieces& pieces,
              void (*step)(Call& c, const Piece& piece, NeuronScratch& scratch)) {
  const auto some = [&](int64_t i, int64_t end, int thread) {
    for (; i < end && !c.s.pool.failed(); ++i) {
      c.s.stop.check();
      step(c, pieces[i], c.s.state.neurons[static_cast<size_t>(thread)]);
    }
  };
  const int64_t work = c.pairs * c.F * c.D;  // of each matrix
  if (c.late) {
    c.s.pool.parallel_in_order(pieces.count(), 1, some, work);
  } else {
    c.s.pool.parallel_for(pieces.count(), 1, some, work);
  }
}

// neurons *= Up in, token by token, only the rows that it needs. Returns how many rows some token
// needs.
int64_t up_of_few(Call& c, const Piece& piece, const Matrix& w, NeuronScratch& scratch) {
  const auto [g, begin, end] = piece;
  std::fill_n(scratch.needed.data(), end - begin, uint8_t{0});
  for (int64_t p = g.begin; p < g.end; ++p) {
    float* h = c.neurons(p);
    const int64_t n = c.s.kernels.find_nonzero(h + begin, end - begin, static_cast<int32_t>(begin),
                                               scratch.index.data(), scratch.values.data());
    const int64_t t = c.token(p);
    Activations in{.tokens = 1, .cols = c.D, .x = c.in + t * c.D};
    if (c.in_q8.q != nullptr) in.rows = c.in_q8.rows_from(t, c.D);
    linear_indexed(c.s.kernels, w, scratch.index.data(), n, in, scratch.up.data(), n);
    for (int64_t i = 0; i < n; ++i) {
      const int32_t j = scratch.index.data()[i];
      h[j] *= scratch.up.data()[i];
      scratch.needed.data()[j - begin] = 1;
    }
  }
  return std::ranges::count(scratch.needed.span().first(static_cast<size_t>(end - begin)), 1);
}

// The same for all rows and tokens at once: neurons = act(neurons) * Up in, by a row's multiply().
int64_t up_of_many(Call& c, const Piece& piece, const Matrix& w,
                   void (*multiply)(float* neurons, const float* up, int64_t n)) {
  const auto [g, begin, end] = piece;
  float* up = c.s.state.up.data() + g.begin * c.F;
  linear_rows(c.s.kernels, w, begin, end, g.in, up + begin, c.F);
  for (int64_t p = g.begin; p < g.end; ++p, up += c.F) {
    multiply(c.neurons(p) + begin, up + begin, end - begin);
  }
  return end - begin;
}

// Neurons [begin, end) of one expert for all its pairs: Gate in.
void gate(Call& c, const Piece& piece, NeuronScratch& /*scratch*/) {
  const auto [g, begin, end] = piece;
  linear_rows(c.s.kernels, c.await(g, ExpertPart::kGate), begin, end, g.in,
              c.neurons(g.begin) + begin, c.F);
}

// What each pair's gates must exceed: known when all are. The order of sums is fixed.
void find_cutoffs(Call& c) {
  c.cutoffs.resize(static_cast<size_t>(c.pairs));
  const auto find = [&](int64_t p, int64_t end) {
    for (; p < end; ++p) {
      const std::span<const float> gates(c.neurons(p), static_cast<size_t>(c.F));
      double sum = 0, squares = 0;
      for (const float x : gates) sum += x;
      const double mean = sum / static_cast<double>(c.F);
      for (const float x : gates) squares += (x - mean) * (x - mean);
      const double deviation = std::sqrt(squares / static_cast<double>(c.F));
      c.cutoffs[static_cast<size_t>(p)] = static_cast<float>(mean + c.ffn.cutoff * deviation);
    }
  };
  c.s.pool.parallel_for(c.pairs, 1, find, c.pairs * c.F);
}

// act(gates) of a pair in their place, where most may be 0. Returns how many are not.
int64_t activate(const Call& c, int64_t pair, float* gates, int64_t n) {
  if (!c.ffn.cuts()) return c.s.kernels.relu(gates, n);
  return c.s.kernels.gelu_above(gates, c.cutoffs[static_cast<size_t>(pair)], n);
}

// Of gates: act(gate) * (Up in).
void up(Call& c, const Piece& piece, NeuronScratch& scratch) {
  const auto [g, begin, end] = piece;
  const KernelTable& kernels = c.s.kernels;
  const int64_t all = g.pairs() * (end - begin);
  if (!c.ffn.skips()) {
    c.active += all;
    const auto multiply =
        c.ffn.activation == Activation::kSilu ? kernels.silu_multiply : kernels.gelu_multiply;
    c.needed_up += up_of_many(c, piece, c.await(g, ExpertPart::kUp), multiply);
    return;
  }
  int64_t active = 0;
  for (int64_t p = g.begin; p < g.end; ++p) {
    active += activate(c, p, c.neurons(p) + begin, end - begin);
  }
  c.active += active;
  const bool few =
      g.in.tiled == 0 || static_cast<double>(active) < kSparse * static_cast<double>(all);
  const Matrix w = c.await(g, ExpertPart::kUp);
  c.needed_up +=
      few ? up_of_few(c, piece, w, scratch) : up_of_many(c, piece, w, kernels.multiply_active);
}

// Both, piece by piece where nothing has to be known of the other pieces.
void gate_up(Call& c, const Piece& piece, NeuronScratch& scratch) {
  gate(c, piece, scratch);
  up(c, piece, scratch);
}

// The neurons as inputs of down matrices, but of rows that are neurons.
void gather_neurons(Call& c) {
  const bool q8 = c.s.kernels.format(c.experts.down.prototype.type).wants_q8();
  Q8Buffer& buffer = c.s.state.pair_q8;
  Q8Rows rows{};
  if (q8) rows = buffer.quantize(c.s.kernels, c.s.pool, c.neurons(0), c.pairs, c.F);
  const auto pack = [&](int64_t i, int64_t end) {
    for (; i < end; ++i) {
      Group& g = c.groups[static_cast<size_t>(i)];
      g.in = {.tokens = g.pairs(), .cols = c.F};
      if (!c.rows_are_outputs()) {
        g.in.rows = rows.rows_from(g.begin, c.F);
        continue;
      }
      if (q8) g.in = buffer.pack(c.s.kernels, rows, nullptr, g.begin, g.number, g.pairs(), c.F);
      g.in.x = c.neurons(g.begin);
    }
  };
  if (q8 && c.rows_are_outputs() && !c.ffn.routed) {
    c.groups.front().in = buffer.pack(c.s.kernels, c.s.pool, rows, c.pairs, c.F);
    c.groups.front().in.x = c.neurons(0);
    return;
  }
  c.s.pool.parallel_for(std::ssize(c.groups), 1, pack, c.pairs * c.F);
}

// Columns [begin, end) of Down neurons for all pairs of one expert.
void down(Call& c, const Piece& piece, NeuronScratch& scratch) {
  const auto [g, begin, end] = piece;
  const KernelTable& kernels = c.s.kernels;
  const Matrix w = c.await(g, ExpertPart::kDown);
  if (c.rows_are_outputs()) {
    return linear_rows(kernels, w, begin, end, g.in, c.down(g.begin) + begin, c.D);
  }
  if (c.experts.layout != DownLayout::kNeurons) {
    return kernels.format(w.type).sum_columns(neuron_rows(w), c.F, g.in.rows, g.pairs(), c.D, begin,
                                              end, c.down(g.begin), c.D);
  }
  for (int64_t p = g.begin; p < g.end; ++p) {
    const int64_t n =
        kernels.find_nonzero(c.neurons(p), c.F, 0, scratch.index.data(), scratch.values.data());
    linear_sum_rows(kernels, w, scratch.index.data(), scratch.values.data(), n, begin, end,
                    p > g.begin, c.down(p));
  }
}

// out[t] += sum over slots of weight * down, columns [begin, end), slots in order of rank.
void combine(Call& c, int64_t begin, int64_t end) {
  const int64_t k = c.ffn.used;
  for (int64_t t = 0; t < c.s.tokens(); ++t) {
    for (int64_t slot = 0; slot < k; ++slot) {
      const auto i = static_cast<size_t>(t * k + slot);
      c.s.kernels.axpy(c.plan.weights[i], c.down(c.plan.pair[i]) + begin, end - begin,
                       c.out + t * c.D + begin);
    }
  }
}

void show_inputs(Call& c) {
  for (const Group& g : c.groups) {
    for (int64_t p = g.begin; p < g.end; ++p) {
      c.s.input_observer->in_expert(c.layer, g.expert,
                                    {c.in + c.token(p) * c.D, static_cast<size_t>(c.D)},
                                    {c.neurons(p), static_cast<size_t>(c.F)});
    }
  }
}

void count(Call& c) {
  Stats& stats = c.s.state.stats;
  const auto active = static_cast<uint64_t>(c.active);
  const auto neurons = static_cast<uint64_t>(c.pairs * c.F);
  const auto up_rows = static_cast<uint64_t>(c.needed_up);
  const uint64_t experts = c.groups.size();
  const auto& [gate, up, down, layout] = c.experts;
  const bool all_of_down = c.rows_are_outputs();
  stats.expert_uses += static_cast<uint64_t>(c.pairs);
  stats.expert_loads += experts;
  stats.neurons += neurons;
  stats.active_neurons += active;
  stats.weight_bytes +=
      experts * gate.prototype.bytes() + up_rows * up.prototype.stride() +
      (all_of_down ? experts * down.prototype.bytes() : up_rows * down.prototype.stride());
  stats.multiply_adds +=
      (neurons + active + (all_of_down ? neurons : active)) * static_cast<uint64_t>(c.D);
}

}  // namespace

void expert_ffn(Step& s, int64_t l, const float* in, float* out) {
  Call c{s, l, in, out};
  for (size_t i = 0; i < c.plan.experts.size(); ++i) {
    const auto number = static_cast<int64_t>(i);
    c.groups.push_back({c.plan.experts[i], number, c.plan.begin[i], c.plan.begin[i + 1], {}});
  }
  gather(c);
  const auto here = [&](const Group& g) { return s.experts.ready(l, g.expert); };
  c.late = !std::ranges::stable_partition(c.groups, here).empty();
  const Pieces neurons(c, c.F, kNeurons, kPieces);
  if (c.ffn.cuts()) {
    for_each(c, neurons, gate);
    find_cutoffs(c);
    for_each(c, neurons, up);
  } else {
    for_each(c, neurons, gate_up);
  }
  if (s.input_observer != nullptr) show_inputs(c);
  if (c.experts.layout != DownLayout::kNeurons) gather_neurons(c);
  for_each(c, Pieces(c, c.D, kColumns, kPieces / 2), down);
  s.pool.parallel_for(
      c.D, kColumns, [&](int64_t begin, int64_t end) { combine(c, begin, end); }, c.pairs * c.D);
  count(c);
}

}  // namespace st

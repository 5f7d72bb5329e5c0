#include <algorithm>

#include "model/forward.h"
#include "model/linear.h"
#include "model/moe.h"

namespace st {
namespace {

constexpr int64_t kNeurons = 32;   // neurons of an expert that a thread takes at a time
constexpr int64_t kColumns = 256;  // output columns worked on at a time when there are many tokens

// The experts of this layer that have work, and where their pairs are.
struct Group {
  ExpertWeights expert;
  int64_t begin, end;  // pairs
};

// Inputs of all pairs, in pair order, in the form the weights want.
Activations gather_inputs(Step& s, const ExpertWeights& any) {
  const ExpertPlan& plan = s.state.plan;
  const int64_t D = s.config.hidden;
  const auto pairs = static_cast<int64_t>(plan.token.size());
  Activations in{.x = nullptr, .tokens = pairs, .cols = D};
  if (wants_q8(any.gate.type) || wants_q8(any.up.type)) {
    const Q8Rows h = s.state.q8.quantize(s.kernels, s.pool, s.state.h.data(), s.tokens(), D);
    in.q8 = s.state.pair_q8.gather(s.pool, h, plan.token.data(), pairs, D);
  }
  if (!wants_q8(any.gate.type) || !wants_q8(any.up.type)) {
    s.pool.parallel_for(pairs, 16, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) {
        std::copy_n(s.state.h.data() + plan.token[static_cast<size_t>(p)] * D, D,
                    s.state.pair_in.data() + p * D);
      }
    });
    in.x = s.state.pair_in.data();
  }
  return in;
}

// Neurons [begin, end) of one expert for all its pairs: gate = relu(Gate h) * (Up h), in place.
// The up rows are computed only where the gate of some pair is positive.
void gate_up(Step& s, const Group& g, const Activations& in, int64_t begin, int64_t end) {
  const int64_t F = s.config.ffn;
  float* gate = s.state.gate.data() + g.begin * F;  // (pairs, F)
  float* up = s.state.up.data() + g.begin * F;      // (pairs, F)
  const int64_t pairs = g.end - g.begin;
  linear_rows(s.kernels, g.expert.gate, begin, end, in, gate + begin, F);

  const auto active = [&](int64_t j) {
    for (int64_t p = 0; p < pairs; ++p) {
      if (gate[p * F + j] > 0) return true;
    }
    return false;
  };
  for (int64_t j = begin; j < end; ++j) {
    if (!active(j)) continue;
    const int64_t first = j++;
    while (j < end && active(j)) ++j;
    linear_rows(s.kernels, g.expert.up, first, j, in, up + first, F);
  }
  for (int64_t p = 0; p < pairs; ++p) {
    for (int64_t j = begin; j < end; ++j) {
      float& value = gate[p * F + j];
      value = value > 0 ? value * up[p * F + j] : value != value ? value : 0.0f;  // NaN must show
    }
  }
}

// Columns [begin, end) of Down (gate * up) for all pairs of one expert.
void down(Step& s, const Group& g, const Activations& hidden, int64_t begin, int64_t end) {
  const int64_t D = s.config.hidden;
  const int64_t F = s.config.ffn;
  float* out = s.state.down.data() + g.begin * D + begin;  // (pairs, D), from column `begin`
  if (!g.expert.down_transposed) {
    return linear_rows(s.kernels, g.expert.down, begin, end, hidden.rows(g.begin, g.end), out, D);
  }
  const float* neurons = s.state.gate.data() + g.begin * F;  // (pairs, F)
  for (int64_t p = 0; p < g.end - g.begin; ++p) std::fill_n(out + p * D, end - begin, 0.0f);
  for (int64_t j = 0; j < F; ++j) {
    for (int64_t p = 0; p < g.end - g.begin; ++p) {
      const float a = neurons[p * F + j];
      if (a != 0) axpy_row(s.kernels, g.expert.down, j, begin, end - begin, a, out + p * D);
    }
  }
}

// x[t] += sum over slots of weight * down, columns [begin, end), slots in order of rank.
void combine(Step& s, int64_t begin, int64_t end) {
  const int64_t D = s.config.hidden;
  const int64_t k = s.config.experts_used;
  const ExpertPlan& plan = s.state.plan;
  for (int64_t t = 0; t < s.tokens(); ++t) {
    float* x = s.state.x.data() + t * D;
    for (int64_t slot = 0; slot < k; ++slot) {
      const auto i = static_cast<size_t>(t * k + slot);
      s.kernels.axpy_f32(plan.weights[i], s.state.down.data() + plan.pair[i] * D + begin,
                         end - begin, x + begin);
    }
  }
}

}  // namespace

void moe_ffn(Step& s, int64_t l) {
  const ExpertPlan& plan = s.state.plan;
  const int64_t F = s.config.ffn;
  std::vector<Group> groups;
  groups.reserve(plan.experts.size());
  for (size_t i = 0; i < plan.experts.size(); ++i) {
    groups.push_back({s.experts.await(l, plan.experts[i]), plan.begin[i], plan.begin[i + 1]});
  }

  const Activations in = gather_inputs(s, groups.front().expert);
  const int64_t work = in.tokens * F * s.config.hidden;  // of each of the three matrices
  const int64_t chunks = (F + kNeurons - 1) / kNeurons;
  s.pool.parallel_for(
      static_cast<int64_t>(groups.size()) * chunks, 1,
      [&](int64_t i, int64_t end) {
        for (; i < end; ++i) {
          const Group& g = groups[static_cast<size_t>(i / chunks)];
          const int64_t begin = i % chunks * kNeurons;
          gate_up(s, g, in.rows(g.begin, g.end), begin, std::min(F, begin + kNeurons));
        }
      },
      work);

  const ExpertWeights& any = groups.front().expert;
  Activations hidden{.x = s.state.gate.data(), .tokens = in.tokens, .cols = F};
  if (!any.down_transposed && wants_q8(any.down.type)) {
    hidden.q8 = s.state.pair_q8.quantize(s.kernels, s.pool, hidden.x, in.tokens, F);
  }
  // One token reads each active row once, so rows are best left whole; many tokens share a row,
  // whose outputs should then stay in cache. kColumns is a multiple of every block size.
  const int64_t D = s.config.hidden;
  const int64_t width = s.tokens() == 1 ? D : std::min(D, kColumns);
  const int64_t tiles = (D + width - 1) / width;
  s.pool.parallel_for(
      static_cast<int64_t>(groups.size()) * tiles, 1,
      [&](int64_t i, int64_t end) {
        for (; i < end; ++i) {
          const int64_t column = i % tiles * width;
          down(s, groups[static_cast<size_t>(i / tiles)], hidden, column,
               std::min(D, column + width));
        }
      },
      work);
  s.pool.parallel_for(
      D, kColumns, [&](int64_t begin, int64_t end) { combine(s, begin, end); }, in.tokens * D);
}

}  // namespace st

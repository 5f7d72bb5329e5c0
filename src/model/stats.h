// What a forward pass touched, counted as it runs: the ground truth of "bytes per token".
#pragma once

#include <cstdint>

namespace st {

// Sums since the last reset.
struct Stats {
  uint64_t tokens = 0;          // batch items
  uint64_t passes = 0;          // forward passes
  uint64_t weight_bytes = 0;    // of weights read, each matrix or row once per pass
  uint64_t multiply_adds = 0;   // with weights, per token; skipped neurons and rows not counted
  uint64_t neurons = 0;         // gates computed: (token, expert, neuron)
  uint64_t active_neurons = 0;  // of them not skipped
  uint64_t expert_uses = 0;     // (token, slot) pairs
  uint64_t expert_loads = 0;    // distinct experts, summed over layers and passes
  uint64_t pool_calls = 0;      // times the threads were called together
  uint64_t found_experts = 0;   // of expert_loads, in memory already; all without a budget
  uint64_t disk_bytes = 0;      // read from the file meanwhile
  double wait_seconds = 0;      // for the file, summed over threads
  uint64_t head_rows = 0;       // rows of the output matrix computed, per token with logits

  Stats& operator+=(const Stats& other) {
    tokens += other.tokens;
    passes += other.passes;
    weight_bytes += other.weight_bytes;
    multiply_adds += other.multiply_adds;
    neurons += other.neurons;
    active_neurons += other.active_neurons;
    expert_uses += other.expert_uses;
    expert_loads += other.expert_loads;
    pool_calls += other.pool_calls;
    found_experts += other.found_experts;
    disk_bytes += other.disk_bytes;
    wait_seconds += other.wait_seconds;
    head_rows += other.head_rows;
    static_assert(sizeof(Stats) == 13 * sizeof(uint64_t), "another field is to be added here");
    return *this;
  }
};

}  // namespace st

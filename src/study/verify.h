// Proof, on the machine at hand, that logits do not depend on how the work is cut up, or on how
// much memory there is for it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/engine.h"

namespace st {

// How a prompt is handed to the engine.
enum class PromptSplit {
  kWhole,   // at once, or 512 tokens at a time
  kUneven,  // in pieces of 1, 2, 5, 11 ... tokens
  kSingle,  // token by token
};
std::string_view split_name(PromptSplit split);

struct VerifyCase {
  int threads = 1;
  int64_t micro_batch = 512;
  uint64_t memory = 0;  // budget; 0: none
  PromptSplit split = PromptSplit::kWhole;
};

// Every combination that makes the engine do something else: a micro-batch of 1 goes token by token
// however the prompt is split, so single tokens are left to the largest micro-batch. Without a
// budget first, then with each. Cases of the same engine stand together.
std::vector<VerifyCase> verify_cases(std::span<const int64_t> threads,
                                     std::span<const int64_t> micro_batches,
                                     std::span<const uint64_t> budgets);

// n pseudo-random tokens, always the same ones for a vocabulary.
std::vector<Token> verify_tokens(const Tokenizer& tokenizer, int64_t n);

// A hash of the bits of a row of logits.
uint64_t hash_row(std::span<const float> row);

// Evaluates `tokens` from position 0 on and hashes the logits after each: (T). Few rows of logits
// are in memory at a time.
std::vector<uint64_t> hash_logits(Engine& engine, std::span<const Token> tokens, PromptSplit split,
                                  const Stop& stop = Stop::never());

// The first position at which two runs differ.
std::optional<int64_t> first_difference(std::span<const uint64_t> a, std::span<const uint64_t> b);

}  // namespace st

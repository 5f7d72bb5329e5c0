#include "study/verify.h"

#include <algorithm>
#include <bit>
#include <random>

#include "engine/scoped_sequence.h"

namespace st {
namespace {

int64_t piece(PromptSplit split, size_t index) {
  constexpr int64_t kUneven[] = {1, 2, 5, 11, 3, 17, 29, 4};
  switch (split) {
    case PromptSplit::kUneven:
      return kUneven[index % std::size(kUneven)];
    case PromptSplit::kSingle:
      return 1;
    default:
      return 512;
  }
}

}  // namespace

std::string_view split_name(PromptSplit split) {
  switch (split) {
    case PromptSplit::kUneven:
      return "uneven pieces";
    case PromptSplit::kSingle:
      return "token by token";
    default:
      return "whole";
  }
}

std::vector<VerifyCase> verify_cases(std::span<const int64_t> threads,
                                     std::span<const int64_t> micro_batches,
                                     std::span<const uint64_t> budgets) {
  const int64_t largest = *std::ranges::max_element(micro_batches);
  std::vector<uint64_t> memories{0};
  memories.insert(memories.end(), budgets.begin(), budgets.end());
  std::vector<VerifyCase> cases;
  for (const uint64_t memory : memories) {
    for (const int64_t t : threads) {
      for (const int64_t micro_batch : micro_batches) {
        const auto add = [&](PromptSplit split) {
          cases.push_back({static_cast<int>(t), micro_batch, memory, split});
        };
        add(PromptSplit::kWhole);
        if (micro_batch > 1) add(PromptSplit::kUneven);
        if (micro_batch > 1 && micro_batch == largest) add(PromptSplit::kSingle);
      }
    }
  }
  return cases;
}

std::vector<Token> verify_tokens(const Tokenizer& tokenizer, int64_t n) {
  std::mt19937 random(96);
  std::vector<Token> tokens(static_cast<size_t>(n));
  const auto vocabulary = static_cast<uint32_t>(tokenizer.size());
  for (Token& token : tokens) token = static_cast<Token>(random() % vocabulary);
  return tokens;
}

uint64_t hash_row(std::span<const float> row) {
  uint64_t hash = row.size();
  for (const float value : row) {
    // Each step is a bijection of the hash: one changed bit anywhere is never lost.
    hash = (hash ^ std::bit_cast<uint32_t>(value)) * 0x9E3779B97F4A7C15;
    hash ^= hash >> 32;
  }
  return hash;
}

std::vector<uint64_t> hash_logits(Engine& engine, std::span<const Token> tokens, PromptSplit split,
                                  const Stop& stop) {
  const auto V = static_cast<size_t>(engine.config().vocab);
  const auto total = static_cast<int64_t>(tokens.size());
  std::vector<uint64_t> hashes;
  const ScopedSequence sequence(engine.cache());
  int64_t done = 0;
  for (size_t i = 0; done < total; ++i) {
    const int64_t n = std::min(piece(split, i), total - done);
    const auto part = tokens.subspan(static_cast<size_t>(done), static_cast<size_t>(n));
    const auto hash = [&](std::span<const float> rows) {
      for (; !rows.empty(); rows = rows.subspan(V)) hashes.push_back(hash_row(rows.first(V)));
    };
    engine.evaluate({sequence.id(), part, Wanted::kAll}, hash, stop);
    done += n;
  }
  return hashes;
}

std::optional<int64_t> first_difference(std::span<const uint64_t> a, std::span<const uint64_t> b) {
  const auto [at, other] = std::ranges::mismatch(a, b);
  if (at == a.end() && other == b.end()) return std::nullopt;
  return at - a.begin();
}

}  // namespace st

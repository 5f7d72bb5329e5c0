// What an engine is given to evaluate, and what it gives back.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/error.h"
#include "model/kv_pool.h"
#include "text/vocab.h"

namespace st {

enum class Wanted : uint8_t {
  kNone,
  kLast,  // logits after the last token; rows that a sparse head skips are -infinity
  kAll,   // after each token, by the dense head
  kEach,  // after each token as kLast; only so many of them are taken as there is room for at once
};

// Tokens to append to a sequence of the engine's cache.
struct Feed {
  SequenceId sequence = 0;
  std::span<const Token> tokens;  // (n), n >= 1
  Wanted logits = Wanted::kLast;
};

// What became of a feed.
struct Outcome {
  int64_t tokens = 0;             // that the sequence took: all, or the first ones before an error
  std::span<const float> logits;  // (rows, V), valid until the next evaluate(); empty on error
  std::optional<Error> error;
  double seconds = 0;  // that evaluate() took, with all its feeds
};

}  // namespace st

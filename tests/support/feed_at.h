// For tests that say at which position of which sequence tokens go.
#pragma once

#include <span>

#include "engine/engine.h"

namespace st::testkit {

// A feed of the sequence from position `from` on: what it held from there on is forgotten.
// Sequences 0 .. id are made on first use.
inline Feed feed_at(Engine& engine, std::span<const Token> tokens, int64_t from, bool all = false,
                    SequenceId id = 0) {
  KvPool& cache = engine.cache();
  while (cache.sequences() <= id) cache.create();
  cache.truncate(id, from);
  return {id, tokens, all ? Wanted::kAll : Wanted::kLast};
}

}  // namespace st::testkit

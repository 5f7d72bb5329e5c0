// A sequence of a cache for as long as it is needed.
#pragma once

#include "model/kv_pool.h"

namespace st {

class ScopedSequence {
 public:
  explicit ScopedSequence(KvPool& cache) : cache_(cache), id_(cache.create()) {}
  ~ScopedSequence() { cache_.erase(id_); }
  ScopedSequence(const ScopedSequence&) = delete;
  ScopedSequence& operator=(const ScopedSequence&) = delete;

  SequenceId id() const { return id_; }
  void restart() { cache_.truncate(id_, 0); }

 private:
  KvPool& cache_;
  const SequenceId id_;
};

}  // namespace st

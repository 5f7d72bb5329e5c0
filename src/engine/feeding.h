// The feeds of one Engine::evaluate(): cut into passes, and what became of them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "engine/feed.h"
#include "model/batch.h"
#include "model/kv_pool.h"

namespace st {

class Feeding {
 public:
  // Feeds that cannot be begun have their error from here on. `sparse`: logits may be -infinity.
  // `most_each`: tokens of a feed that wants Wanted::kEach.
  Feeding(std::span<const Feed> feeds, KvPool& cache, int64_t vocab, bool sparse,
          int64_t most_each);

  // What is left of the feeds that have no error.
  bool finished() const { return tokens_left() == 0; }
  int64_t tokens_left() const;
  int64_t rows_left() const;     // of logits
  uint64_t cache_bytes() const;  // keys and values once all of it is stored

  // The next tokens of some feeds, and memory for their keys and values, which is given back at the
  // end unless take() has committed it.
  class Pass {
   public:
    ~Pass();
    Pass(Pass&&) = default;

    std::span<const BatchItem> batch() const { return items_; }

   private:
    friend class Feeding;
    struct Part {
      size_t feed;
      int64_t tokens;
    };
    explicit Pass(Feeding& feeding) : feeding_(&feeding) {}

    Feeding* feeding_;
    std::vector<BatchItem> items_;  // (T)
    std::vector<Part> parts_;       // of items_, in their order
  };
  Pass next(int64_t most_tokens);

  // What was computed: why tokens failed (T), and the logits (rows, V) in batch order, which are
  // valid until the next pass. Feeds with a token that failed, or a logit that is no number, get
  // that as their error; the others have taken their tokens.
  void take(const Pass& pass, std::span<const std::optional<Error>> failures,
            std::span<const float> rows);
  // Throws what take() would make an error: before a sink gets rows.
  void check(std::span<const std::optional<Error>> failures, std::span<const float> rows) const;

  // Why the feeds that are not finished will not be.
  void fail_rest(const Error& error);

  // One for each feed, with logits that are valid as long as this, or until the next pass.
  std::span<Outcome> outcomes();

 private:
  void refuse(size_t feed) const;
  int64_t tokens(size_t feed) const;  // that it is to take
  int64_t tokens_left(size_t feed) const;
  std::optional<Error> error_in(std::span<const std::optional<Error>> failures,
                                std::span<const float> rows) const;

  const std::span<const Feed> feeds_;
  KvPool& cache_;
  const int64_t vocab_;
  const bool sparse_;
  const int64_t most_each_;
  std::vector<Outcome> outcomes_;
  struct Gathered {
    size_t begin = 0, end = 0;
  };
  std::vector<float> rows_;         // of all passes, if there are several ...
  std::vector<Gathered> gathered_;  // ... and of those, each feed's
};

}  // namespace st

#include "engine/feeding.h"

#include <algorithm>
#include <cmath>

namespace st {
namespace {

bool wants_all(const Feed& feed) {
  return feed.logits == Wanted::kAll || feed.logits == Wanted::kEach;
}

}  // namespace

Feeding::Feeding(std::span<const Feed> feeds, KvPool& cache, int64_t vocab, bool sparse,
                 int64_t most_each)
    : feeds_(feeds),
      cache_(cache),
      vocab_(vocab),
      sparse_(sparse),
      most_each_(most_each),
      outcomes_(feeds.size()),
      gathered_(feeds.size()) {
  for (size_t i = 0; i < feeds.size(); ++i) {
    try {
      refuse(i);
    } catch (const Error& e) {
      outcomes_[i].error = e;
    }
  }
}

void Feeding::refuse(size_t i) const {
  const Feed& feed = feeds_[i];
  const int64_t length = cache_.length(feed.sequence);
  const auto same = [&](const Feed& other) { return other.sequence == feed.sequence; };
  if (std::ranges::any_of(feeds_.first(i), same)) {
    fail(ErrorCode::kInvalidUsage, "sequence {}: fed twice at once", feed.sequence);
  }
  const auto tokens = std::ssize(feed.tokens);
  if (tokens < 1 || tokens > cache_.context() - length) {
    fail(ErrorCode::kInvalidUsage, "sequence {}: {} tokens after {}: want 1..{}", feed.sequence,
         tokens, length, cache_.context() - length);
  }
  for (const Token token : feed.tokens) {
    if (token < 0 || token >= vocab_) {
      fail(ErrorCode::kInvalidUsage, "token {}: want 0..{}", token, vocab_ - 1);
    }
  }
}

int64_t Feeding::tokens(size_t i) const {
  const auto all = std::ssize(feeds_[i].tokens);
  return feeds_[i].logits == Wanted::kEach ? std::min(all, most_each_) : all;
}

int64_t Feeding::tokens_left(size_t i) const {
  return outcomes_[i].error ? 0 : tokens(i) - outcomes_[i].tokens;
}

int64_t Feeding::tokens_left() const {
  int64_t left = 0;
  for (size_t i = 0; i < feeds_.size(); ++i) left += tokens_left(i);
  return left;
}

int64_t Feeding::rows_left() const {
  int64_t left = 0;
  for (size_t i = 0; i < feeds_.size(); ++i) {
    const int64_t tokens = tokens_left(i);
    if (wants_all(feeds_[i])) left += tokens;
    if (feeds_[i].logits == Wanted::kLast && tokens > 0) ++left;
  }
  return left;
}

uint64_t Feeding::cache_bytes() const {
  uint64_t bytes = cache_.bytes_in_use();
  for (size_t i = 0; i < feeds_.size(); ++i) {
    if (const int64_t tokens = tokens_left(i); tokens > 0) {
      bytes += cache_.bytes_to_append(feeds_[i].sequence, tokens);
    }
  }
  return bytes;
}

Feeding::Pass Feeding::next(int64_t most_tokens) {
  Pass pass(*this);
  for (size_t i = 0; i < feeds_.size() && most_tokens > 0; ++i) {
    const Feed& feed = feeds_[i];
    const int64_t tokens = std::min(tokens_left(i), most_tokens);
    if (tokens == 0) continue;
    most_tokens -= tokens;
    cache_.reserve(feed.sequence, tokens);
    pass.parts_.push_back({i, tokens});
    const int64_t length = cache_.length(feed.sequence), done = outcomes_[i].tokens;
    for (int64_t t = 0; t < tokens; ++t) {
      const bool last = done + t + 1 == this->tokens(i);
      pass.items_.push_back({.token = feed.tokens[static_cast<size_t>(done + t)],
                             .position = static_cast<int32_t>(length + t),
                             .sequence = feed.sequence,
                             .logits = wants_all(feed) || (feed.logits == Wanted::kLast && last),
                             .sparse = feed.logits != Wanted::kAll});
    }
  }
  return pass;
}

Feeding::Pass::~Pass() {
  for (const Part& part : parts_) {
    const SequenceId id = feeding_->feeds_[part.feed].sequence;
    feeding_->cache_.truncate(id, feeding_->cache_.length(id));
  }
}

void Feeding::take(const Pass& pass, std::span<const std::optional<Error>> failures,
                   std::span<const float> rows) {
  const bool alone = rows_.empty() && std::ssize(pass.items_) == tokens_left();
  size_t item = 0;
  for (const Pass::Part& part : pass.parts_) {
    const auto items = std::span(pass.items_).subspan(item, static_cast<size_t>(part.tokens));
    const auto n = static_cast<size_t>(std::ranges::count(items, true, &BatchItem::logits));
    const std::span<const float> logits =
        rows.first(std::min(rows.size(), n * static_cast<size_t>(vocab_)));
    Outcome& outcome = outcomes_[part.feed];
    outcome.error = error_in(failures.subspan(item, items.size()), logits);
    if (!outcome.error) {
      cache_.commit(feeds_[part.feed].sequence, part.tokens);
      outcome.tokens += part.tokens;
      if (alone) {
        outcome.logits = logits;
      } else if (!logits.empty()) {
        Gathered& mine = gathered_[part.feed];
        if (mine.end == 0) mine.begin = rows_.size();  // they follow each other: feeds are in order
        rows_.insert(rows_.end(), logits.begin(), logits.end());
        mine.end = rows_.size();
      }
    }
    item += items.size();
    rows = rows.subspan(logits.size());
  }
}

std::optional<Error> Feeding::error_in(std::span<const std::optional<Error>> failures,
                                       std::span<const float> rows) const {
  const auto failed = [](const std::optional<Error>& error) { return error.has_value(); };
  if (const auto first = std::ranges::find_if(failures, failed); first != failures.end()) {
    return **first;
  }
  const auto good = [&](float x) { return std::isfinite(x) || (sparse_ && x == -HUGE_VALF); };
  if (std::ranges::all_of(rows, good)) return std::nullopt;
  return Error(ErrorCode::kInvalidData, "the model computed a logit that is not a finite number");
}

void Feeding::check(std::span<const std::optional<Error>> failures,
                    std::span<const float> rows) const {
  if (const auto error = error_in(failures, rows)) throw *error;
}

void Feeding::fail_rest(const Error& error) {
  for (size_t i = 0; i < feeds_.size(); ++i) {
    if (tokens_left(i) > 0) outcomes_[i].error = error;
  }
}

std::span<Outcome> Feeding::outcomes() {
  for (size_t i = 0; i < feeds_.size(); ++i) {
    const auto [begin, end] = gathered_[i];
    if (end > 0) outcomes_[i].logits = std::span(rows_).subspan(begin, end - begin);
    if (outcomes_[i].error) outcomes_[i].logits = {};
  }
  return outcomes_;
}

}  // namespace st

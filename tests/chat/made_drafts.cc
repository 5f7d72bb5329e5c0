#include "chat/made_drafts.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "engine/scoped_sequence.h"

namespace st::chats {

WrittenAnswer write_answer(Engine& engine, std::span<const Token> prompt,
                           const SessionOptions& options, DraftCount* drafts) {
  const ScopedSequence sequence(engine.cache());
  Session session(engine.tokenizer(), engine.cache(), sequence.id(), options);
  session.feed(prompt);
  WrittenAnswer written;
  while (!written.reason) {
    const Feed feed = session.next();
    written.reason = session.take(engine.evaluate({&feed, 1}).front());
    written.text += session.take_text();
    EXPECT_EQ(engine.cache().length(sequence.id()), std::ssize(session.held()));
  }
  written.tokens.assign(session.held().begin(), session.held().end());
  written.text += session.finish_text();
  written.generated = session.generated();
  written.used = session.sampler().used();
  if (drafts != nullptr) *drafts = session.drafts();
  if (std::ssize(session.held()) < engine.context()) {
    const Token more[] = {5};
    const auto after = engine.evaluate(Feed{sequence.id(), more});
    written.after.assign(after.begin(), after.end());
  }
  return written;
}

std::span<const Token> MadeDrafts::draft(std::span<const Token> text, int64_t most) {
  const std::span<const Token> rest = std::span(text_).subspan(std::min(text.size(), text_.size()));
  const auto length = std::min<int64_t>(std::ssize(rest), random_() % 9);
  draft_.assign(rest.begin(), rest.begin() + std::min(length, most));
  if (!draft_.empty() && random_() % 4 == 0) {
    Token& token = draft_[random_() % draft_.size()];
    token = random_() % 7 == 0 ? vocabulary_ : static_cast<Token>(random_() % 250);
  }
  return draft_;
}

}  // namespace st::chats

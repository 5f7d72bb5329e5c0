// Answers written token by token, and with drafts of all kinds.
#pragma once

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "engine/drafter.h"
#include "engine/engine.h"
#include "engine/session.h"

namespace st::chats {

// What there is to see of an answer.
struct WrittenAnswer {
  std::vector<Token> tokens;  // that the sequence holds
  std::string text;
  std::optional<FinishReason> reason;
  int64_t generated = 0;
  uint64_t used = 0;         // outputs of the sampler's generator
  std::vector<float> after;  // logits after one token more: what is held has its bits, too

  bool operator==(const WrittenAnswer&) const = default;
};

// After each pass the sequence holds what the session says.
WrittenAnswer write_answer(Engine& engine, std::span<const Token> prompt,
                           const SessionOptions& options, DraftCount* drafts = nullptr);

// Knows how the text goes on, and drafts that, of any length; one in four drafts has a wrong token,
// and one in thirty a token that no model has.
class MadeDrafts final : public Drafter {
 public:
  // `text`: prompt and answer. `vocabulary`: tokens that the model has.
  MadeDrafts(std::vector<Token> text, Token vocabulary, uint32_t seed)
      : text_(std::move(text)), vocabulary_(vocabulary), random_(seed) {}

  void begin() override {}
  std::span<const Token> draft(std::span<const Token> text, int64_t most) override;
  void timed(int64_t, double) override {}

 private:
  const std::vector<Token> text_;
  const Token vocabulary_;
  std::mt19937 random_;
  std::vector<Token> draft_;
};

}  // namespace st::chats

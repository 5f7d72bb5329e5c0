// Drafts by lookup: where a text repeats itself it is taken to go on as it did before. A draft is
// as long as pays best by what such guesses and such passes were worth lately; where none pays
// there is none.
#pragma once

#include "engine/copied_text.h"
#include "engine/drafter.h"
#include "engine/pass_costs.h"

namespace st {

class LookupDrafter final : public Drafter {
 public:
  void begin() override { copied_.begin(); }
  std::span<const Token> draft(std::span<const Token> text, int64_t most) override;
  void timed(int64_t drafted, double seconds) override;

 private:
  CopiedText copied_;
  PassCosts costs_;
};

}  // namespace st

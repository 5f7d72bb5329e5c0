// Guesses how a text goes on. A session has the engine evaluate the guess, a draft, together with
// the text's last token, and keeps of it what it would have chosen anyway: a draft changes how long
// a text takes, and never the text.
#pragma once

#include <cstdint>
#include <span>

#include "text/vocab.h"

namespace st {

class Drafter {
 public:
  virtual ~Drafter() = default;

  // What follows is about another text.
  virtual void begin() = 0;

  // A draft of at most `most` tokens, valid until the next call; empty: it is not worth while.
  // `text` is the prompt and the answer so far: that of the last call, and what has come since.
  virtual std::span<const Token> draft(std::span<const Token> text, int64_t most) = 0;

  // A pass over the last token of a text and `drafted` tokens after it took so many seconds.
  virtual void timed(int64_t drafted, double seconds) = 0;
};

}  // namespace st

// A made-up vocabulary of any size: byte-level BPE, laid out as Qwen2's.
#pragma once

#include "text/vocab.h"

namespace st {

// `rows` tokens: the bytes, pieces made by merges of earlier ones up to id `regular`, then
// <|endoftext|>, <|im_start|>, <|im_end|>, and padding. Any text round trips, and common letters go
// together, so English costs about as many tokens as its letters in pairs. The order is Latin
// first, other scripts last. REQUIRES: 256 <= regular <= rows - 3, regular <= 300,000.
Vocab make_synth_vocab(int64_t regular, int64_t rows);

}  // namespace st

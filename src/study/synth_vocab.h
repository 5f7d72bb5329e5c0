// Made-up vocabularies of any size.
#pragma once

#include <cstdint>

#include "text/vocab.h"

namespace st {

// Byte-level BPE, laid out as Qwen2's. `rows` tokens: the bytes,
// pieces made by merges of earlier ones up to id `regular`, then
// <|endoftext|>, <|im_start|>, <|im_end|>, and padding. Any text round trips, and common letters go
// together, so English costs about as many tokens as its letters in pairs. The order is Latin
// first, other scripts last. REQUIRES: 256 <= regular <= rows - 3, regular <= 300,000.
Vocab make_synth_vocab(int64_t regular, int64_t rows);

// SentencePiece's kind, laid out as Gemma's: control tokens, runs of line feeds and blanks, bytes,
// pieces of Latin letters by falling score, characters; then, up to `rows`, unused ones. Any text
// round trips. REQUIRES: 1024 <= regular <= rows, regular <= 300,000.
Vocab make_synth_pieces(int64_t regular, int64_t rows);

}  // namespace st

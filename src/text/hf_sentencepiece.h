// What a tokenizer.json of SentencePiece's kind has of its own.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "text/vocab.h"

namespace st {

// Checks that the parts of a tokenizer.json are those of Gemma's: blanks become U+2581, nothing
// cuts the text, decoding is the reverse; and reads from the post-processor whether BOS comes
// first, and which token that is. Others are an Error(kUnsupported) that names the part.
void read_sentencepiece_parts(const nlohmann::json& tokenizer, Vocab& vocab);

// Turns vocab.merges, which it takes away, into vocab.scores. Throws Error(kUnsupported) if the
// order of merges is not that of scores of their results: then llama.cpp's format cannot hold them.
void scores_of_merges(Vocab& vocab);

}  // namespace st

// tokenizer.json and what tokenizer_config.json adds to it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "text/token_table.h"
#include "text/vocab.h"

namespace st {

// Reads tokens, merges and the normalizer of a tokenizer.json that is a byte-level BPE of Qwen2's
// kind. Every key is read, is known to change no token, or must say what we do: others are an
// Error(kUnsupported) that names it. Memory: within a few times the text, whatever it is.
void read_hf_tokenizer(std::string_view text, TokenTable& table, Vocab& vocab);

// Keys of tokenizer_config.json that change tokens, and its list of added tokens.
void read_hf_tokenizer_config(const nlohmann::json& config, TokenTable& table);

}  // namespace st

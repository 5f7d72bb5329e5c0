// Conversations with small models.
#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "chat/conversation.h"
#include "engine/engine.h"

namespace st::chats {

// Small models: without windows, with windows of 16 and of 8 positions, and layers that read
// others' keys and values.
inline const std::vector<std::string> kModels = {"micro-4b-style", "micro-21b-style-softmax",
                                                 "micro-qwen3", "micro-gemma3n"};

// Of one of these, with passes of at most 16 tokens and two sequences.
Engine engine_of(const std::string& model, EngineOptions options = {});

// "user: Hello\nassistant:", none of it trusted.
ChatPrompt plain_prompt(std::span<const Message> messages);

Message user(const std::string& text);

// Texts of short words, the same for the same numbers.
std::string words(uint64_t seed, int64_t count);

// Always the likeliest token, or one that a seed draws; so many, whatever they are.
SessionOptions greedy(int64_t tokens);
SessionOptions seeded(int64_t tokens, uint32_t seed = 7);

// Writes an answer from begin_answer() on; returns its tokens, of which the last may not be in the
// sequence. `stop_after` tokens it is stopped; -1: not.
std::vector<Token> answer(Engine& engine, Conversation& conversation, const SessionOptions& options,
                          int64_t stop_after = -1);

}  // namespace st::chats

#include "chat/fixture.h"

#include <random>

#include "families/fixture.h"
#include "golden/fixture.h"

namespace st::chats {
namespace {

std::string path_of(const std::string& model) {
  const bool other = std::ranges::count(families::kFolders, model) > 0;
  return other ? families::converted(model, DType::kF32)
               : golden::converted("variants/" + model, DType::kF32, false);
}

SessionOptions endless(int64_t tokens) {
  SessionOptions options;
  options.max_tokens = tokens;
  options.ignore_eos = true;
  return options;
}

}  // namespace

Engine engine_of(const std::string& model, EngineOptions options) {
  options.threads = 1;
  options.sequences = 2;
  options.micro_batch = 16;
  if (options.context == 0) options.context = 1024;
  return Engine(path_of(model), options);
}

ChatPrompt plain_prompt(std::span<const Message> messages) {
  ChatPrompt prompt;
  for (const Message& message : messages) {
    prompt.text.append(message.role + ": " + message.content + "\n", false);
  }
  prompt.text.append("assistant:", false);
  return prompt;
}

Message user(const std::string& text) { return {.role = "user", .content = text}; }

std::string words(uint64_t seed, int64_t count) {
  std::mt19937_64 random(seed);
  std::string text;
  for (int64_t i = 0; i < count; ++i) {
    text += ' ';
    for (uint64_t n = 1 + random() % 4; n > 0; --n) {
      text += static_cast<char>('a' + static_cast<char>(random() % 26));
    }
  }
  return text;
}

SessionOptions greedy(int64_t tokens) {
  SessionOptions options = endless(tokens);
  options.sampler.seed = 1;
  options.sampler.temperature = 0;
  return options;
}

SessionOptions seeded(int64_t tokens, uint32_t seed) {
  SessionOptions options = endless(tokens);
  options.sampler.seed = seed;
  options.sampler.temperature = 2;
  options.sampler.presence_penalty = 1;
  return options;
}

std::vector<Token> answer(Engine& engine, Conversation& conversation, const SessionOptions& options,
                          int64_t stop_after) {
  std::vector<Token> tokens;
  conversation.begin_answer(options);
  bool prompt = true;
  while (conversation.answering()) {
    const Feed feed = conversation.next();
    if (!prompt) tokens.push_back(feed.tokens.back());
    prompt = false;
    conversation.take(engine.evaluate({&feed, 1}).front());
    if (!conversation.answering()) break;
    if (std::ssize(tokens) == stop_after) conversation.stop();
  }
  return tokens;
}

}  // namespace st::chats

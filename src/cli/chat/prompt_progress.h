// How far the engine is with a long prompt, while another thread waits for it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#include "cli/chat/chat_screen.h"
#include "engine/engine.h"

namespace st {

class PromptProgress {
 public:
  // Shows it from now on, of `tokens` that are to be evaluated. Both outlive it, and nobody else
  // shows anything meanwhile.
  PromptProgress(const Engine& engine, ChatScreen& screen, int64_t tokens);
  ~PromptProgress();
  PromptProgress(const PromptProgress&) = delete;
  PromptProgress& operator=(const PromptProgress&) = delete;

 private:
  void watch();

  const Engine& engine_;
  ChatScreen& screen_;
  const int64_t tokens_;
  uint64_t before_ = 0;  // tokens evaluated before
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace st

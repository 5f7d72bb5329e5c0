#include "cli/chat/prompt_progress.h"

#include <fmt/format.h>

#include <chrono>
#include <system_error>

#include "base/start_thread.h"

namespace st {
namespace {

constexpr std::chrono::milliseconds kRedraw{250};
constexpr int64_t kFew = 32;  // tokens that are over before anybody could read of them

}  // namespace

PromptProgress::PromptProgress(const Engine& engine, ChatScreen& screen, int64_t tokens)
    : engine_(engine), screen_(screen), tokens_(tokens) {
  if (!screen.has_sequences() || tokens < kFew) return;
  before_ = engine.snapshot().stats.tokens;
  try {
    thread_ = start_any_thread([this] { watch(); });
  } catch (const std::system_error&) {  // no thread to be had: it is not shown
  }
}

PromptProgress::~PromptProgress() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void PromptProgress::watch() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, kRedraw, [this] { return over_; })) {
    const auto done = static_cast<int64_t>(engine_.snapshot().stats.tokens - before_);
    screen_.status(fmt::format("reading {} tokens, {} %", tokens_, 100 * done / tokens_));
  }
}

}  // namespace st

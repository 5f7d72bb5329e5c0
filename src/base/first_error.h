// Keeps the first of the errors that threads run into, for the one who started them.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>

#include "base/error.h"

namespace st {

class FirstError {
 public:
  // Runs body(), unless there is an error already; keeps the Error it throws.
  template <typename Body>
  void guard(Body&& body) {
    if (failed_) return;
    try {
      body();
    } catch (const Error& e) {
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = e;
      failed_ = true;
    }
  }

  // When all threads are done: throws the error, if there was one.
  void rethrow() const {
    if (error_) throw Error(*error_);
  }

 private:
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;
  std::optional<Error> error_;
};

}  // namespace st

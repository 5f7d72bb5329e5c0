#pragma once

#include <optional>
#include <string>

#include "engine/engine.h"
#include "study/routing_trace.h"

namespace st {

// --record-routing: does nothing if the path is empty.
class RoutingRecording {
 public:
  explicit RoutingRecording(std::string path) : path_(std::move(path)) {}

  // From now on what this engine routes is recorded. All engines of a recording are of one model,
  // and do not run after it is gone.
  void attach(Engine& engine);
  // The file appears.
  void finish();

 private:
  std::string path_;
  std::optional<RoutingRecorder> recorder_;
};

}  // namespace st

#include "cli/routing_recording.h"

#include <algorithm>

#include "model/names.h"

namespace st {
namespace {

RoutingShape routing_shape(const Engine& engine) {
  const ModelConfig& c = engine.config();
  RoutingShape shape{.layers = c.layers, .experts = c.experts, .used = c.experts_used};
  const auto bytes = [&](int64_t l, std::string_view name) {
    return engine.file().find(names::layer(l, name)).info->bytes / static_cast<uint64_t>(c.experts);
  };
  for (int64_t l = 0; l < c.layers; ++l) {  // slots are as large as the largest needs
    shape.gate_bytes = std::max(shape.gate_bytes, bytes(l, names::kFfnGate));
    shape.up_down_bytes =
        std::max(shape.up_down_bytes, bytes(l, names::kFfnUp) + bytes(l, names::kFfnDown));
  }
  return shape;
}

}  // namespace

void RoutingRecording::attach(Engine& engine) {
  if (path_.empty()) return;
  if (!recorder_) recorder_.emplace(path_, routing_shape(engine));
  engine.observe_routing(
      [this](int64_t layer, std::span<const int32_t> chosen) { recorder_->record(layer, chosen); });
}

void RoutingRecording::finish() {
  if (recorder_) recorder_->finish();
}

}  // namespace st

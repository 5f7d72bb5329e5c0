#include "cli/routing_recording.h"

#include <algorithm>

namespace st {
namespace {

RoutingShape routing_shape(const Engine& engine) {
  const ModelConfig& c = engine.config();
  RoutingShape shape{.layers = c.layers, .experts = c.experts, .used = c.experts_used};
  for (const ExpertLayer& layer :
       engine.model().weights().experts) {  // slots are as large as the largest needs
    shape.gate_bytes = std::max(shape.gate_bytes, layer.gate.file_bytes);
    shape.up_down_bytes =
        std::max(shape.up_down_bytes, layer.up.file_bytes + layer.down.file_bytes);
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

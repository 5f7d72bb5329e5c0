// The experts of a layer as weights: three stacks of matrices.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "weights/weight_store.h"

namespace st {

// The numbers are part of a file format: never change them.
enum class DownLayout {
  kOutputs,    // (D, F): a row for each output, as llama.cpp has it
  kNeurons,    // (F, D): row j is what neuron j adds to the output
  kRegrouped,  // (F, D) for neuron_rows(): kOutputs of a quantised type, regrouped at load
};

enum class ExpertPart : uint8_t { kGate, kUp, kDown };  // in the order of need
inline constexpr size_t kExpertParts = 3;
inline constexpr ExpertPart kEachPart[] = {ExpertPart::kGate, ExpertPart::kUp, ExpertPart::kDown};

constexpr std::string_view part_name(ExpertPart part) {
  constexpr std::string_view kNames[] = {"gate", "up", "down"};
  return kNames[static_cast<size_t>(part)];
}

// The experts of one layer: `count` times gate (F, D), up (F, D) and down, its shape by layout.
struct ExpertLayer {
  MatrixStack gate, up, down;
  DownLayout layout = DownLayout::kOutputs;

  const MatrixStack& operator[](ExpertPart part) const {
    return part == ExpertPart::kGate ? gate : part == ExpertPart::kUp ? up : down;
  }
};

// Of the layer that has most.
inline int64_t most_experts(std::span<const ExpertLayer> layers) {
  int64_t most = 0;
  for (const ExpertLayer& layer : layers) most = std::max(most, layer.gate.count);
  return most;
}

}  // namespace st

// Experts laid out for reading: each one's gate, up and down together, aligned, as kernels want
// them. Two forms: ours, a GGUF file that is a whole model (docs/format-bundle.md), and the
// headerless file of the reference engine, which goes with a GGUF file without experts.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weights/expert_layer.h"
#include "weights/weight_store.h"

namespace st {

// The names, numbers and layouts here are part of a file format: never change them.
namespace bundle {

inline constexpr uint32_t kVersion = 2;
inline constexpr uint32_t kAlignment = 4096;

inline constexpr std::string_view kPrefix = "smallthinker.bundle.";
inline constexpr std::string_view kVersionKey = "smallthinker.bundle.version";
inline constexpr std::string_view kTypesKey = "smallthinker.bundle.types";           // (L, 3)
inline constexpr std::string_view kLayoutsKey = "smallthinker.bundle.down_layouts";  // (L)
inline constexpr std::string_view kSourceKey = "smallthinker.bundle.source_xxh3";
inline constexpr std::string_view kChecksums = "exps.checksums";  // (L, E, 3 x 8 bytes), E the most
std::string experts_tensor(int64_t layer);                        // (E, step bytes)

// Where the parts of an expert are, in bytes, padding included.
struct Parts {
  std::array<uint64_t, kExpertParts> at{}, bytes{};
  uint64_t step = 0;  // from one expert to the next
};
// D and F of the model, types of gate, up and down. Throws Error(kInvalidData) for what cannot be.
Parts parts(const std::array<DType, kExpertParts>& types, DownLayout layout, int64_t D, int64_t F);

}  // namespace bundle

// What a model says of the experts of a layer: E, D and F.
struct ExpertDims {
  int64_t experts = 0, hidden = 0, ffn = 0;
};

// Whether the model's file is a bundle of ours, of whatever version.
bool is_bundle(const GgufFile& file);

// The experts of such a file, (L) layers. Throws Error(kInvalidData | kUnsupported) unless
// everything fits.
std::vector<ExpertLayer> load_bundle(WeightStore& store, std::span<const ExpertDims> dims);

// The experts of a headerless file, store.expert_file(): Q4_0 blocks, down by neuron, each matrix
// padded to 4096 bytes, for each layer and expert up, gate, down. Only its size can be checked.
// REQUIRES: all layers are alike.
std::vector<ExpertLayer> load_headerless_bundle(WeightStore& store,
                                                std::span<const ExpertDims> dims);

}  // namespace st

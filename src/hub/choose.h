// Which files of a repository are a model, and which of its models is meant.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hub/listing.h"

namespace st {

// One model of a repository: a GGUF file with all its parts, or the folder of a checkpoint.
struct ModelFiles {
  std::string tag;  // Q4_K_M, or the path if its name tells none; kCheckpoint
  std::vector<HubFile>
      files;           // GGUF parts in their order; of a checkpoint, config.json is the last
  uint64_t bytes = 0;  // of all files

  bool is_checkpoint() const;
  // What is opened: the GGUF file, its first part; of a checkpoint "", the repository's folder.
  std::string path() const { return is_checkpoint() ? "" : files.front().path; }
};

inline constexpr std::string_view kCheckpoint = "safetensors";  // tag of a checkpoint

// The whole models among the files of a repository, without those that only belong to one
// (projectors, drafts, importance matrices) or of which a part is missing.
std::vector<ModelFiles> find_models(std::span<const HubFile> files);

// The model of that tag or file, whatever the case of its letters; nullptr if there is none. No
// choice is the first there is of Q4_K_M, Q4_0, the other types of four bits, then more bits, then
// fewer, then a checkpoint.
const ModelFiles* choose_model(std::span<const ModelFiles> models, std::string_view choice);

}  // namespace st

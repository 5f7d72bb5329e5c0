// Small models with random weights of the other families, converted once per test program, and
// what their references say about them (models/README.md).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "tensor/dtype.h"

namespace st::families {

// Folders of models.
inline const std::vector<std::string> kFolders = {
    "micro-qwen3",   "micro-qwen3-untied", "micro-qwen3moe",         "micro-qwen3moe-odd",
    "micro-gemma3n", "micro-gemma3n-odd",  "micro-gemma3n-e2b-style"};

// "micro-qwen3" -> "micro_qwen3", for names of tests.
std::string test_name(std::string folder);

// A GGUF file of that folder in `type`, made on first use.
std::string converted(const std::string& folder, DType type);

// With room for so many experts or layers in passes of so many tokens, and for a full context.
uint64_t budget_for(const MemoryPlan& plan, int64_t tokens, int64_t room);

// golden.json. A reference, so that a loop over a part of it is safe.
const nlohmann::json& read_golden(const std::string& folder);

}  // namespace st::families

// The environment variables of the reference engine, for those who come from there. A flag always
// wins; what was understood is told in one line each on standard error.
#pragma once

#include <optional>

#include "cli/args.h"

namespace st {

// EXPERT_BUNDLE_PATH, where --expert-bundle is not given: a headerless bundle, or one of ours,
// which is a whole model and takes the place of -m. `tell`: whether to print.
ModelArgs with_reference_bundle(ModelArgs args, bool tell);

// MAX_N_CACHED, where --memory is not given: how many matrices, three to an expert, may be in
// memory beside all else. Throws Error(kInvalidUsage) if it is not a number.
std::optional<int64_t> reference_cached_matrices(const ModelArgs& args, bool tell);
// Gives an engine that was loaded with a budget the one that this is; only the engine can tell.
void keep_to_matrices(Engine& engine, int64_t matrices, bool tell);

// GENERATE_EXPERT_BUNDLE: `run` makes a bundle of its model instead.
std::optional<BundleArgs> reference_bundle_to_generate(const ModelArgs& args);

}  // namespace st

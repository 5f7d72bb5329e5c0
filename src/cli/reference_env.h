// The environment variables of the reference engine, for those who come from there. A flag always
// wins; what was understood is told in one line on standard error.
#pragma once

#include <optional>
#include <string>

#include "cli/args.h"

namespace st {

// EXPERT_BUNDLE_PATH, for --expert-bundle; empty if it is not set. Says what became of MAX_N_CACHED
// too. `tell`: whether to print.
std::string reference_expert_bundle(bool tell);

// GENERATE_EXPERT_BUNDLE: `run` makes a bundle of its model instead.
std::optional<BundleArgs> reference_bundle_to_generate(const ModelArgs& args);

}  // namespace st

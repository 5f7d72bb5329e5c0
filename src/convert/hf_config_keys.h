// What the keys of a Hugging Face config.json mean to the models of a family.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "base/json_keys.h"

namespace st {

// `own`: the keys that this family reads or has its own mind about, besides those of every family.
// Throws Error(kUnsupported) that names a key, known or not, whose value stands for something that
// is not computed. Returns notices.
std::vector<std::string> check_hf_config_keys(const nlohmann::json& config,
                                              std::span<const KnownKey> own);

// The same of an object that has the configuration in it: no key of a model may stand beside it.
std::vector<std::string> check_hf_outer_keys(const nlohmann::json& config,
                                             std::span<const KnownKey> own);

}  // namespace st

// What the keys of a Hugging Face config.json mean to a SmallThinker model.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace st {

// Throws Error(kUnsupported) that names a key, known or not, whose value stands for something that
// is not computed. Returns notices.
std::vector<std::string> check_hf_config_keys(const nlohmann::json& config);

}  // namespace st

// The numbers of a sampler as users set them: as options, and in a chat.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "engine/sampler.h"

namespace st {

struct SamplerSetting {
  std::string_view name;  // "top_k"
  const char* options;    // "--top-k"
  const char* help;
  double min, max;
  std::variant<float SamplerOptions::*, int32_t SamplerOptions::*> value;
};
std::span<const SamplerSetting> sampler_settings();

// Returns what is wrong with the text, or nothing: then the value is set.
std::string set_sampler(SamplerOptions& sampler, const SamplerSetting& setting,
                        const std::string& text);
std::string sampler_value(const SamplerOptions& sampler, const SamplerSetting& setting);

}  // namespace st

#include "cli/sampler_settings.h"

#include <fmt/format.h>

#include <limits>

#include "cli/option_values.h"

namespace st {
namespace {

using S = SamplerOptions;

constexpr double kMostTokens = 1 << 27;

const SamplerSetting kSettings[] = {
    {"temperature", "--temp,--temperature", "temperature; 0: always the likeliest token", -1e6, 1e6,
     &S::temperature},
    {"top_k", "--top-k", "keep the k likeliest tokens; 0: off", -1, 1 << 24, &S::top_k},
    {"top_p", "--top-p", "keep tokens up to this cumulative probability; 1: off", 0, 1, &S::top_p},
    {"min_p", "--min-p", "drop tokens this much less likely than the best; 0: off", 0, 1,
     &S::min_p},
    {"typical_p", "--typical,--typical-p", "locally typical sampling; 1: off", 0, 1, &S::typical_p},
    {"repeat_last_n", "--repeat-last-n", "tokens the penalties look at; 0: off, -1: all", -1,
     kMostTokens, &S::repeat_last_n},
    {"repeat_penalty", "--repeat-penalty", "divide logits of seen tokens; 1: off", 1e-3, 1e3,
     &S::repeat_penalty},
    {"frequency_penalty", "--frequency-penalty", "subtract per occurrence; 0: off", -1e3, 1e3,
     &S::frequency_penalty},
    {"presence_penalty", "--presence-penalty", "subtract once if seen; 0: off", -1e3, 1e3,
     &S::presence_penalty},
};

std::string read(const SamplerSetting& setting, const std::string& text, float& value) {
  double number = 0;
  std::string wrong =
      read_decimal(text, setting.min, setting.max, std::numeric_limits<float>::min(), number);
  if (wrong.empty()) value = static_cast<float>(number);
  return wrong;
}

std::string read(const SamplerSetting& setting, const std::string& text, int32_t& value) {
  int64_t number = 0;
  std::string wrong = read_whole(
      text, {static_cast<int64_t>(setting.min), static_cast<int64_t>(setting.max)}, number);
  if (wrong.empty()) value = static_cast<int32_t>(number);
  return wrong;
}

}  // namespace

std::span<const SamplerSetting> sampler_settings() { return kSettings; }

std::string set_sampler(SamplerOptions& sampler, const SamplerSetting& setting,
                        const std::string& text) {
  return std::visit([&](auto member) { return read(setting, text, sampler.*member); },
                    setting.value);
}

std::string sampler_value(const SamplerOptions& sampler, const SamplerSetting& setting) {
  return std::visit([&](auto member) { return fmt::format("{}", sampler.*member); }, setting.value);
}

}  // namespace st

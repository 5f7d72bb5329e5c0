#include "cli/chat/chat_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "cli/option_values.h"
#include "cli/pasted.h"
#include "cli/sampler_settings.h"

namespace st {
namespace {

const SamplerSetting* find_sampler_setting(std::string_view name) {
  const auto settings = sampler_settings();
  const auto found = std::ranges::find(settings, name, &SamplerSetting::name);
  return found == settings.end() ? nullptr : &*found;
}

std::string read_seed(std::string_view text, uint32_t& seed) {
  int64_t number = 0;
  std::string wrong = read_whole(text, {-1, UINT32_MAX}, number);
  if (wrong.empty()) seed = static_cast<uint32_t>(number);  // -1: random
  return wrong;
}

std::string read_timings(std::string_view text, bool& timings) {
  if (text != "on" && text != "off") return "want on or off";
  timings = text == "on";
  return {};
}

// What is wrong, or nothing.
std::string read(ChatSettings& settings, std::string_view name, const std::string& value) {
  if (name == "seed") return read_seed(value, settings.answer.sampler.seed);
  if (name == "max_tokens") return read_whole(value, {-1, 1 << 27}, settings.answer.max_tokens);
  if (name == "think") return read_think(value, settings.think);
  if (name == "timings") return read_timings(value, settings.timings);
  if (name == "spec") return read_spec(value, settings.answer.drafter);
  const SamplerSetting* setting = find_sampler_setting(name);
  return set_sampler(settings.answer.sampler, *setting, value);
}

}  // namespace

const std::vector<ChatSetting>& chat_settings() {
  static const std::vector<ChatSetting> settings = [] {
    std::vector<ChatSetting> all;
    for (const SamplerSetting& setting : sampler_settings()) {
      all.push_back({std::string(setting.name), setting.help, {}});
    }
    all.push_back({"seed", "seed of the sampler; -1: random", {}});
    all.push_back({"max_tokens", "of an answer; -1: until the model ends it", {}});
    all.push_back({"think",
                   "before it answers; auto: as the model's template has it",
                   {"on", "off", "auto"}});
    all.push_back({"timings", "after each answer", {"on", "off"}});
    all.push_back({"spec", "several tokens a pass where text repeats itself", {"auto", "off"}});
    return all;
  }();
  return settings;
}

void change(ChatSettings& settings, std::string_view name, const std::string& value) {
  const auto& all = chat_settings();
  if (std::ranges::find(all, name, &ChatSetting::name) == all.end()) {
    std::vector<std::string> names{"memory"};
    for (const ChatSetting& setting : all) names.push_back(setting.name);
    const std::string meant = nearest(name, names);
    fail(ErrorCode::kInvalidUsage, "no setting '{}'{}; there are {}", printable(name),
         meant.empty() ? "" : ", did you mean '" + meant + "'?", fmt::join(names, ", "));
  }
  if (const std::string wrong = read(settings, name, value); !wrong.empty()) {
    fail(ErrorCode::kInvalidUsage, "{}: '{}': {}", name, printable(value), wrong);
  }
}

std::string value_of(const ChatSettings& settings, std::string_view name) {
  const SamplerOptions& sampler = settings.answer.sampler;
  if (name == "seed") {
    return sampler.seed == SamplerOptions().seed ? "random" : fmt::format("{}", sampler.seed);
  }
  if (name == "max_tokens") return fmt::format("{}", settings.answer.max_tokens);
  if (name == "think") return settings.think ? (*settings.think ? "on" : "off") : "auto";
  if (name == "timings") return settings.timings ? "on" : "off";
  if (name == "spec") return settings.answer.drafter ? "auto" : "off";
  return sampler_value(sampler, *find_sampler_setting(name));
}

std::string format_settings(const ChangedSettings& settings) {
  return nlohmann::json(settings).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

ChangedSettings parse_settings(std::string_view text) {
  if (text.empty()) return {};
  const nlohmann::json json = parse_json(text);
  if (!json.is_object()) fail(ErrorCode::kInvalidData, "want an object, got {}", show_json(json));
  ChangedSettings settings;
  for (const auto& [name, value] : json.items()) {
    if (!value.is_string()) {
      fail(ErrorCode::kInvalidData, "{}: want a string, got {}", printable(name), show_json(value));
    }
    settings[name] = value.get<std::string>();
  }
  return settings;
}

std::string read_think(std::string_view text, std::optional<bool>& think) {
  if (text == "on" || text == "off") {
    think = text == "on";
  } else if (text == "auto") {
    think.reset();
  } else {
    return "want on, off or auto";
  }
  return {};
}

}  // namespace st

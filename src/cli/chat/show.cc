// What the commands of a chat tell about it.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "cli/chat/chat.h"
#include "cli/chat/chat_commands.h"
#include "cli/report.h"
#include "cli/streams.h"
#include "model/config.h"

namespace st {

void Chat::show(const std::string& argument) {
  if (argument == "model") return show_model();
  if (argument == "settings") return show_settings();
  if (argument == "messages") return show_messages();
  if (argument == "prompt") return show_prompt();
  if (argument == "tokens") return show_tokens();
  if (argument == "template") return screen_.say(for_terminal(template_.source()) + "\n");
  fail(ErrorCode::kInvalidUsage, "/show what? {}", fmt::join(shown_things(), ", "));
}

void Chat::show_model() {
  const ModelConfig& c = engine_.config();
  screen_.say(fmt::format("{} ({}), {} layers, {}\n", printable(c.name), c.architecture, c.layers,
                          describe_weights(engine_.model().store())));
  screen_.say(fmt::format("context of {} tokens, keys and values as {}; {} kernels, {} threads\n",
                          engine_.context(), kv_type_name(engine_.cache_type()), engine_.kernels(),
                          engine_.threads()));
}

void Chat::show_settings() {
  for (const ChatSetting& setting : chat_settings()) {
    screen_.say(fmt::format("{:<17} {:<8} {}\n", setting.name, value_of(settings_, setting.name),
                            setting.help));
  }
  const auto memory = engine_.memory();
  screen_.say(fmt::format("{:<17} {:<8} budget of the process; none: no limit\n", "memory",
                          format_budget(memory ? memory->plan.budget : kNoBudget)));
}

void Chat::show_messages() {
  int64_t users = 0;
  for (const Message& message : conversation_.messages()) {
    const bool user = message.role == "user";
    const std::string who = user ? fmt::format("you, {}", ++users) : message.role;
    screen_.say(fmt::format("{}: {}\n", for_terminal(who), for_terminal(message.content)));
  }
  if (conversation_.messages().empty()) screen_.say("there is no message yet\n");
}

void Chat::show_prompt() {
  screen_.say(for_terminal(make_prompt(conversation_.messages()).text.bytes) + "\n");
}

void Chat::show_tokens() {
  const std::vector<Token> tokens =
      prompt_tokens(engine_.tokenizer(), make_prompt(conversation_.messages()).text);
  screen_.say(fmt::format("{}\n{} tokens of {}, {} of them evaluated\n", fmt::join(tokens, " "),
                          tokens.size(), engine_.context(), conversation_.state().tokens.size()));
}

void Chat::stats(const std::string&) {
  const AnswerTimings& t = totals_.timings;
  screen_.say(fmt::format("{}, {} in {:.1f} s, {:.1f} tok/s{}\n",
                          counted(totals_.answers, "answer"), counted(t.generated_tokens, "token"),
                          t.generation_seconds, t.generation_rate(), describe_drafts(t.drafts)));
  screen_.say(fmt::format(
      "prompts of {}, {} kept from before; the others in {:.1f} s, {:.1f} "
      "tok/s\n",
      counted(t.prompt_tokens, "token"), t.reused_tokens, t.prompt_seconds, t.prompt_rate()));
  const EngineSnapshot now = engine_.snapshot();
  const Stats& s = now.stats;
  if (s.neurons > 0) {
    screen_.say(fmt::format(
        "{:.1f} % of the neurons skipped, as they would add nothing\n",
        100 - 100 * static_cast<double>(s.active_neurons) / static_cast<double>(s.neurons)));
  }
  if (now.memory) {
    screen_.say(receipt(*now.memory, t.prompt_tokens - t.reused_tokens + t.evaluated_tokens,
                        t.prompt_seconds + t.generation_seconds));
  } else {
    screen_.say(fmt::format("peak memory {}\n", format_bytes(peak_memory_bytes())));
  }
}

ExpertMap Chat::expert_map() const {
  ExpertMap map;
  const ModelConfig& c = engine_.config();
  for (size_t l = 0; l < c.layer.size(); ++l) {
    const Ffn& ffn = c.layer[l].ffn;
    if (!ffn.routed) continue;
    auto& row = map.layers.emplace_back();
    for (int64_t e = 0; e < ffn.experts; ++e) {
      const auto layer = static_cast<int64_t>(l);
      row.push_back({.resident = engine_.holds_expert(layer, static_cast<int32_t>(e)),
                     .use = uses_.of(layer, e, ffn.experts)});
    }
  }
  return map;
}

void Chat::experts(const std::string&) {
  const ExpertMap map = expert_map();
  if (map.layers.empty()) {
    screen_.say("every token uses all of this model: it has no experts to choose from\n");
    return;
  }
  screen_.show(draw(map, screen_.columns(), screen_.color()));
}

}  // namespace st

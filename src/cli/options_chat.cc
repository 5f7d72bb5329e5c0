// The options of chat.
#include <fmt/format.h>

#include "cli/chat/chat_commands.h"
#include "cli/option_values.h"
#include "cli/options_cli11.h"

namespace st {
namespace {

std::string read_color(const std::string& text, ColorChoice& color) {
  if (text == "auto") {
    color = ColorChoice::kAuto;
  } else if (text == "on") {
    color = ColorChoice::kOn;
  } else if (text == "off") {
    color = ColorChoice::kOff;
  } else {
    return "want auto, on or off";
  }
  return {};
}

std::string read_keep(const std::string& text, KeepKv& keep) {
  if (text == "auto") {
    keep = KeepKv::kAuto;
  } else if (text == "always") {
    keep = KeepKv::kAlways;
  } else if (text == "never") {
    keep = KeepKv::kNever;
  } else {
    return "want auto, always or never";
  }
  return {};
}

void add_kept(CLI::App& app, ChatArgs& args) {
  CLI::Option* session =
      app.add_option("--session", args.session,
                     "keep the chat, turn by turn, and go on from where it was: a name, or a file "
                     "that ends with .stsession")
          ->type_name("SESSION");
  add_checked(app, "--session-kv", "keep keys and values, so that nothing is evaluated again",
              [&args](const std::string& text) { return read_keep(text, args.kept.keep); })
      ->type_name("auto|always|never")
      ->needs(session);
  add_checked(app, "--session-limit", "bytes of keys and values that are kept (1GiB)",
              [&args](const std::string& text) { return read_size(text, args.kept.limit); })
      ->type_name("SIZE")
      ->needs(session);
  app.add_flag("--exact", args.kept.exact,
               "refuse keys and values that other kernels have computed: last bits may differ")
      ->needs(session);
}

void add_messages(CLI::App& app, ChatArgs& args) {
  CLI::Option* prompt = app.add_option_function<std::string>(
      "-p,--prompt", [&args](const std::string& text) { args.prompt = text; },
      "the one message: its answer is printed, and that is all");
  prompt->type_name("TEXT");
  app.add_option("-f,--file", args.files, "text that goes with the first message; may be repeated")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("FILE");
  CLI::Option* system =
      app.add_option("--system,--system-prompt", args.system, "-sys: what the model is told first")
          ->type_name("TEXT");
  app.add_option("--system-file,--system-prompt-file", args.system_file,
                 "-sysf: the same in a file")
      ->type_name("FILE")
      ->excludes(system);
  CLI::Option* turns =
      app.add_flag("--turns", args.turns,
                   "each line of standard input is a message, answered before the next is read")
          ->excludes(prompt);
  app.add_flag("-0,--null", args.null_turns, "with --turns: NUL ends a message and an answer")
      ->needs(turns);
}

}  // namespace

CLI::App* add_chat(CLI::App& app, ChatArgs& args) {
  CLI::App* chat = app.add_subcommand("chat", "talk with a model");
  add_model(*chat, args.model);
  add_lm_head(*chat, args.model);
  chat->add_option_function<std::vector<std::string>>(
          "words", [](const std::vector<std::string>&) {},
          "model and message, instead of -m and -p")
      ->type_name("MODEL");
  add_messages(*chat, args);
  add_kept(*chat, args);
  add_checked(*chat, "--think", "whether the model thinks before it answers",
              [&args](const std::string& text) { return read_think(text, args.settings.think); })
      ->type_name("on|off|auto");
  chat->add_option("--chat-template", args.chat_template,
                   "another template than the model's: the name of one, or a file")
      ->type_name("NAME|FILE");
  add_whole(*chat, "-n,--predict,--n-predict",
            "tokens of an answer; -1 or -2: until the model ends, or the context is full", -2,
            1 << 27, args.settings.answer.max_tokens);
  chat->add_flag("--ignore-eos", args.settings.answer.ignore_eos,
                 "answers never end by themselves");
  add_sampling(*chat, args.settings.answer.sampler);
  add_spec(*chat, args.settings.answer.drafter);
  chat->add_option("-r,--reverse-prompt,--stop", args.settings.answer.stop,
                   "text that ends an answer; may be repeated")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("TEXT");
  add_checked(*chat, "--color", "auto is on for terminals, unless $NO_COLOR is set",
              [&args](const std::string& text) { return read_color(text, args.color); })
      ->type_name("auto|on|off");
  // Of llama.cpp: what is done anyway.
  chat->add_flag("--cnv,--conversation,-i,--interactive,--jinja")->group("");
  chat->footer("On a terminal these commands are understood:\n" + describe_chat_commands());
  return chat;
}

}  // namespace st

#include "chat/output_parser.h"
#include "cli/option_values.h"
#include "cli/options_cli11.h"

namespace st {

CLI::App* add_template(CLI::App& app, TemplateArgs& args) {
  CLI::App* command = app.add_subcommand(
      "template",
      "the prompt that a chat becomes; a template by itself; what a model's output says");
  command
      ->add_option("-m,--model", args.model,
                   "GGUF file, Hugging Face folder or OWNER/REPO (or $SMALLTHINKER_MODEL); alone: "
                   "what its chat template can")
      ->type_name("MODEL");
  add_offline(*command, args.offline);
  command
      ->add_option("--chat-template", args.chat_template,
                   "instead of the model's: the name of another one it has, chatml, gemma, or a "
                   "file")
      ->type_name("NAME|FILE");
  CLI::Option* chat =
      command->add_option("--chat", args.chat, "JSON request with messages: print its prompt")
          ->type_name("FILE");
  command->add_flag("--tokens", args.tokens, "print the prompt's ids, as [1, 2, 3]")->needs(chat);
  CLI::Option* parse =
      command
          ->add_option("--parse", args.output,
                       "text that a model has written: print what is in it, as JSON")
          ->type_name("FILE")
          ->excludes(chat);
  CLI::Option* context =
      command->add_option("--context", args.context, "JSON object with a template's variables")
          ->type_name("FILE");
  command->add_option("--template-file", args.template_file, "a Jinja template: print its text")
      ->needs(context)
      ->excludes(chat)
      ->excludes(parse)
      ->type_name("FILE");
  add_checked(*command, "--now", "the time for the template, such as 2026-11-05T07:08:09",
              [&args](const std::string& text) { return read_time(text, args.now.emplace()); })
      ->type_name("TIME");
  command
      ->add_option("--tools", args.tools,
                   "generic: explain tools to a model whose template has none; with --parse: names "
                   "of those that may be called, with commas between")
      ->type_name("NAMES");
  add_checked(*command, "--format", "how the model writes (default: hermes)",
              [&args](const std::string& text) -> std::string {
                args.format = text;
                return find_output_format(text) ? "" : "want hermes";
              })
      ->needs(parse);
  add_checked(*command, "--start", "think: the prompt opened reasoning",
              [&args](const std::string& text) -> std::string {
                args.in_reasoning = text == "think";
                return text == "think" || text == "content" ? "" : "want content or think";
              })
      ->type_name("content|think")
      ->needs(parse);
  add_whole(*command, "--pieces", "take the text in pieces of N bytes", 1, INT32_MAX, args.pieces)
      ->needs(parse);
  command->add_flag("--cut", args.cut, "a limit ended the text, not the model")->needs(parse);
  return command;
}

}  // namespace st

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "chat/chat_template.h"
#include "chat/output_parser.h"
#include "cli/args.h"
#include "cli/model_args.h"
#include "cli/streams.h"
#include "jinja/template.h"

namespace st {
namespace {

std::tm time_of(const TemplateArgs& args) { return args.now ? *args.now : local_time_now(); }

// A template by itself, with a context that is handed to it as it is.
void render_file(const TemplateArgs& args) {
  constexpr uint64_t kMaxContext = uint64_t{64} << 20;
  const std::string source = read_text_file(args.template_file);
  const auto program = with_context(printable_path(args.template_file),
                                    [&] { return jinja::Template::compile(source); });
  const std::string json = read_text_file(args.context, kMaxContext);
  const auto context = with_context(printable_path(args.context), [&] {
    auto value = jinja::Value::from_json(json, false);
    if (!value.is_dict()) fail(ErrorCode::kInvalidData, "want a JSON object");
    return value;
  });
  write_out(with_context(printable_path(args.template_file), [&] {
              return program.render(context, {.now = time_of(args)});
            }).bytes);
}

std::vector<std::string> split_names(std::string_view text) {
  std::vector<std::string> names;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    if (comma > 0) names.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return names;
}

void parse_output(const TemplateArgs& args) {
  const std::string output = read_text_file(args.output);
  OutputParser parser({.format = find_output_format(args.format),
                       .in_reasoning = args.in_reasoning,
                       .tools = split_names(args.tools)});
  const size_t size = args.pieces > 0 ? static_cast<size_t>(args.pieces) : output.size() + 1;
  for (size_t begin = 0; begin < output.size(); begin += size) {
    parser.push(std::string_view(output).substr(begin, size));
  }
  parser.finish(args.cut);
  const Message& message = parser.message();
  nlohmann::ordered_json calls = nlohmann::ordered_json::array();
  for (const ToolCall& call : message.calls) {
    calls.push_back({{"name", call.name}, {"arguments", call.arguments}});
  }
  const nlohmann::ordered_json result = {{"reasoning", message.reasoning},
                                         {"content", message.content},
                                         {"calls", std::move(calls)},
                                         {"finish_reason", parser.finish_reason()}};
  print_out("{}\n", result.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

void render_chat(const TemplateArgs& args) {
  if (!args.tools.empty() && args.tools != "generic") {
    fail(ErrorCode::kInvalidUsage, "--tools: '{}', want generic", printable(args.tools));
  }
  const Tokenizer tokenizer = load_tokenizer(args.model);
  std::vector<std::string> notices;
  const ChatTemplate chat_template = with_context(printable_path(args.model), [&] {
    return model_chat_template(tokenizer, args.chat_template, args.tools == "generic", &notices);
  });
  for (const std::string& notice : notices) {
    print_err("note: {}: {}\n", printable_path(args.model), notice);
  }
  if (args.chat.empty()) return print_out("{}", describe(chat_template.abilities()));
  const std::string request = read_text_file(args.chat, kMaxRequestBytes);
  const ChatPrompt prompt = with_context(printable_path(args.chat), [&] {
    return chat_template.render(parse_chat_request(request), time_of(args));
  });
  if (args.tokens) {
    print_out("[{}]\n", fmt::join(prompt_tokens(tokenizer, prompt.text), ", "));
  } else {
    write_out(prompt.text.bytes);
  }
}

}  // namespace

int execute(const TemplateArgs& args) {
  if (!args.template_file.empty()) {
    render_file(args);
  } else if (!args.output.empty()) {
    parse_output(args);
  } else {
    render_chat(args);
  }
  return kExitOk;
}

}  // namespace st

// Bytes as what a model writes: taken apart the same way however it is cut into pieces.
#include <string>
#include <string_view>

#include "chat/output_parser.h"
#include "fuzz.h"

using namespace st;

namespace {

// What events say, joined, must be the message.
struct Parsed {
  Message message;
  std::string_view reason;
  bool operator==(const Parsed&) const = default;
};

void hear(const std::vector<OutputEvent>& events, Message& heard) {
  for (const auto& [kind, text] : events) {
    fuzz::require(text.empty() == (kind == OutputEvent::kCallEnded));
    if (kind == OutputEvent::kReasoning) heard.reasoning += text;
    if (kind == OutputEvent::kContent) heard.content += text;
    if (kind == OutputEvent::kCallBegun) heard.calls.push_back({"", text, ""});
    fuzz::require(kind != OutputEvent::kArguments || !heard.calls.empty());
    if (kind == OutputEvent::kArguments) heard.calls.back().arguments += text;
  }
}

Parsed parse(std::string_view text, const OutputParserOptions& options, size_t piece, bool cut) {
  OutputParser parser(options);
  Message heard;
  for (size_t begin = 0; begin < text.size(); begin += piece) {
    hear(parser.push(text.substr(begin, piece)), heard);
  }
  hear(parser.finish(cut), heard);
  const Message& message = parser.message();
  fuzz::require(heard.reasoning == message.reasoning && heard.content == message.content);
  fuzz::require(heard.calls.size() == message.calls.size());
  for (size_t i = 0; i < heard.calls.size(); ++i) {
    fuzz::require(heard.calls[i].name == message.calls[i].name);
    fuzz::require(heard.calls[i].arguments == message.calls[i].arguments);
  }
  return {message, parser.finish_reason()};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  OutputParserOptions options = {.in_reasoning = (data[0] & 1) != 0};
  if ((data[0] & 2) == 0) options.tools = {"now", "get_weather"};
  const bool cut = (data[0] & 4) != 0;
  const std::string_view text = fuzz::text_of(data + 2, size - 2);
  const Parsed whole = parse(text, options, size, cut);
  fuzz::require(whole.message.reasoning.size() + whole.message.content.size() <= text.size());
  fuzz::require(parse(text, options, 1 + data[1] % 16, cut) == whole);
  return 0;
}

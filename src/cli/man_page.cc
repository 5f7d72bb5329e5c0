#include "cli/man_page.h"

#include <fmt/format.h>

namespace st {
namespace {

// Text in which nothing means anything to roff.
std::string plain(std::string_view text) {
  std::string out;
  if (text.starts_with('.') || text.starts_with('\'')) out = "\\&";
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c == '\n') {
      out += ' ';
    } else {
      out += c;
    }
  }
  return out;
}

// "[-t,--threads N]", "IN".
std::string usage(const OptionDoc& option) {
  std::string text = fmt::format("{}", fmt::join(option.names, ","));
  if (!option.value.empty()) text += (text.empty() ? "" : " ") + option.value;
  if (option.repeats && option.names.empty()) text += " ...";
  return option.required ? text : "[" + text + "]";
}

void add_command(const CommandDoc& command, std::string& out) {
  out += fmt::format(".SS \"{}\"\n{}.\n.PP\n.B smallthinker {}\n", plain(command.name),
                     plain(command.help), plain(command.name));
  for (const OptionDoc& option : command.options) {
    if (option.names.empty() || option.required) out += plain(usage(option)) + "\n";
  }
  if (!command.options.empty()) out += "[option ...]\n";
  for (const OptionDoc& option : command.options) {
    std::string names;
    for (const std::string& name : option.names) {
      names += (names.empty() ? "" : ", ") + fmt::format("\\fB{}\\fR", plain(name));
    }
    if (!option.value.empty()) {
      names += (names.empty() ? "" : " ") + fmt::format("\\fI{}\\fR", plain(option.value));
    }
    out += fmt::format(".TP\n{}\n{}{}\n", names, plain(option.help),
                       option.fallback.empty() ? "" : plain(" (default: " + option.fallback + ")"));
  }
}

constexpr const char* kBegin = R"(.TH SMALLTHINKER 1 "" "smallthinker {}" "User Commands"
.SH NAME
smallthinker \- run sparse mixture\-of\-experts language models on CPUs
.SH SYNOPSIS
.B smallthinker
.I command
[option ...]
.br
.B smallthinker
.I model
[text]
.SH DESCRIPTION
smallthinker converts, quantises, inspects and runs language models.
A
.I model
is a GGUF file, or the name of one on Hugging Face, OWNER/REPO[:QUANT], which is downloaded once.
Without a command the model continues the text.
Options of llama.cpp that have no effect here are accepted.
\fB\-\-help\fR behind a command lists its options.
.SH COMMANDS
)";

constexpr const char* kEnd = R"(.SH ENVIRONMENT
.TP
.BR SMALLTHINKER_MODEL ", " SMALLTHINKER_THREADS ", " SMALLTHINKER_CPU
what \fB\-m\fR, \fB\-t\fR and \fB\-\-cpu\fR are without these options
.TP
.B HF_TOKEN
sent to the hub, for models that not everybody may read
.TP
.B HF_ENDPOINT
the hub, in place of https://huggingface.co
.TP
.B HF_HUB_OFFLINE
with 1, nothing is downloaded unless \fBpull\fR asks for it
.TP
.BR HF_HUB_CACHE ", " HF_HOME
where Hugging Face's own tools keep models, which are found there
.SH FILES
.TP
.I ~/.local/share/smallthinker/models
models that were downloaded; \fB$XDG_DATA_HOME\fR changes the beginning
.TP
.I ~/.cache/smallthinker
what can be made again; \fB$XDG_CACHE_HOME\fR changes the beginning
.SH EXIT STATUS
0 done, 1 failure, 2 wrong usage, 130 interrupted.
)";

}  // namespace

std::string man_page(std::span<const CommandDoc> commands, const std::string& version) {
  std::string out = fmt::format(fmt::runtime(kBegin), plain(version));
  for (const CommandDoc& command : commands) add_command(command, out);
  return out + kEnd;
}

}  // namespace st

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "cli/args.h"
#include "cli/chat/chat.h"
#include "cli/chat/chat_screen.h"
#include "cli/interrupt.h"
#include "cli/model_args.h"
#include "cli/report.h"
#include "cli/streams.h"
#include "cli/terminal/line_history.h"
#include "cli/text_args.h"

namespace st {
namespace {

constexpr uint64_t kMostSystem = uint64_t{16} << 20;  // bytes of a file

// At both ends somebody sits.
bool at_terminal() {
  const bool seen = ::isatty(STDOUT_FILENO) != 0 || ::isatty(STDERR_FILENO) != 0;
  return ::isatty(STDIN_FILENO) != 0 && seen;
}

// A message is what comes before `end`; none: nothing comes any more.
class TurnReader {
 public:
  explicit TurnReader(char end) : end_(end) {}

  std::optional<std::string> next() {
    while (true) {
      if (const size_t at = text_.find(end_, searched_); at != text_.npos) return take(at, 1);
      searched_ = text_.size();
      if (!read()) break;
    }
    if (text_.empty()) return std::nullopt;
    return take(text_.size(), 0);
  }

 private:
  std::string take(size_t size, size_t end) {
    std::string turn = text_.substr(0, size);
    text_.erase(0, size + end);
    searched_ = 0;
    return turn;
  }

  bool read() {
    char buffer[4096];
    ssize_t n = 0;
    while ((n = ::read(STDIN_FILENO, buffer, sizeof(buffer))) < 0) {
      interrupt_stop().check();
      if (errno != EINTR) {
        fail(ErrorCode::kIo, "standard input: cannot read: {}", std::strerror(errno));
      }
    }
    text_.append(buffer, static_cast<size_t>(n));
    if (text_.size() > kMost) {
      fail(ErrorCode::kInvalidData, "standard input: more than {} bytes, the limit for a message",
           kMost);
    }
    return n > 0;
  }

  static constexpr size_t kMost = size_t{1} << 26;
  const char end_;
  std::string text_;
  size_t searched_ = 0;
};

// What is asked without a terminal, or by -p: the whole of standard input, or each turn of it.
int answer_piped(Chat& chat, const ChatArgs& args, std::optional<std::string> message) {
  const GracefulStop graceful;
  const auto send = [&](const std::string& text) {
    chat.send(text, interrupt_stop());
    return !interrupt_stop().requested();
  };
  if (message) return send(*message) ? kExitOk : kExitInterrupted;
  for (TurnReader turns(args.null_turns ? '\0' : '\n'); auto turn = turns.next();) {
    if (!send(*turn)) return kExitInterrupted;
  }
  return kExitOk;
}

std::string without_last_line_feed(std::string text) {
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string system_message(const ChatArgs& args) {
  if (args.system_file.empty()) return args.system;
  return without_last_line_feed(read_text_file(args.system_file, kMostSystem));
}

// The message that is there before the model is loaded; none: they come one after another.
std::optional<std::string> whole_message(const ChatArgs& args) {
  if (args.prompt) return args.prompt;
  if (args.turns || at_terminal()) return std::nullopt;
  std::string text = without_last_line_feed(read_stdin());
  if (text.empty() && args.files.empty()) {
    fail(ErrorCode::kInvalidData,
         "standard input: there is no message in it; -p TEXT gives one, and a terminal asks");
  }
  return text;
}

void greet(ChatScreen& screen, const Engine& engine) {
  const ModelConfig& c = engine.config();
  screen.remark(fmt::format("{}, {}, context of {} tokens\n",
                            c.name.empty() ? c.architecture : printable(c.name),
                            describe_weights(engine.model().store()), engine.context()));
  screen.remark("/help lists commands, Ctrl-C stops an answer, Ctrl-D leaves\n\n");
}

}  // namespace

int execute(const ChatArgs& args) {
  const std::string& path = args.model.model;  // told before what else is missing
  refuse_folder(path);
  with_context(printable_path(path), [&] { const File there(path); });
  check_model_outputs(args.model, args.files);
  const std::optional<std::string> message = whole_message(args);
  const std::string system = system_message(args);
  std::optional<ChatTemplate> chat_template;
  std::vector<std::string> notices;
  // Refused before the weights are read.
  Engine engine = load_engine(
      args.model, true, nullptr,
      [&](const Model& model) {
        chat_template.emplace(
            model_chat_template(model.tokenizer(), args.chat_template, false, &notices));
        return 0;
      },
      true);
  if (args.settings.think && !chat_template->abilities().thinking_switch) {
    notices.push_back("--think has no effect: the chat template has no switch for it");
  }
  for (const std::string& notice : notices) print_err("note: {}\n", notice);
  ChatScreen screen(args.color, args.null_turns ? '\0' : '\n');
  Chat chat(engine, *chat_template, args.settings, args.kept, screen);
  if (args.session) chat.keep_in(*args.session);
  if (!system.empty()) chat.set_system(system);
  for (const std::string& file : args.files) chat.attach(file);
  if (message || args.turns) return answer_piped(chat, args, message);
  greet(screen, engine);
  chat.show_where_we_were();
  TakenInterrupts interrupts;
  return chat.talk(interrupts, history_path());
}

}  // namespace st

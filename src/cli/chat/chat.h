// A chat that somebody has at a terminal, or that a program leads through a pipe: messages to the
// conversation, what comes of them to the screen, and commands.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chat/chat_template.h"
#include "chat/conversation.h"
#include "chat/journal.h"
#include "cli/chat/chat_screen.h"
#include "cli/chat/chat_settings.h"
#include "cli/chat/expert_map.h"
#include "cli/interrupt.h"
#include "cli/terminal/line_editor.h"
#include "engine/engine.h"

namespace st {

class Chat {
 public:
  // All of them outlive the chat.
  Chat(Engine& engine, const ChatTemplate& chat_template, ChatSettings settings,
       JournalOptions kept, ChatScreen& screen);
  ~Chat();
  Chat(const Chat&) = delete;
  Chat& operator=(const Chat&) = delete;

  void set_system(const std::string& text) { conversation_.set_system(text); }
  // From now on the chat is kept in the file of a session, and goes on from what is there. Throws
  // Error.
  void keep_in(const std::string& name_or_file);
  void show_where_we_were();
  // Text of a file, which goes with the next message.
  void attach(const std::string& path);

  enum class Answered : uint8_t { kWhole, kStopped, kNothing };
  // Sends a message and shows the answer. Throws Error: then the message was not sent.
  Answered send(const std::string& text, const Stop& stop);

  // At a terminal, until somebody leaves: the exit code.
  int talk(TakenInterrupts& interrupts, const std::string& history);

  // ---- Commands, with what stands after their names ----
  void show_help(const std::string& argument);
  void leave(const std::string& argument);
  void clear(const std::string& argument);
  void regenerate(const std::string& argument);
  void undo(const std::string& argument);
  void edit(const std::string& argument);
  void system(const std::string& argument);
  void set(const std::string& argument);
  void show(const std::string& argument);
  void read_file(const std::string& argument);
  void save(const std::string& argument);
  void load(const std::string& argument);
  void sessions(const std::string& argument);
  void stats(const std::string& argument);
  void experts(const std::string& argument);
  void copy(const std::string& argument);

 private:
  // Sums over the answers so far.
  struct Totals {
    AnswerTimings timings;
    int64_t answers = 0;
    void add(const AnswerTimings& answer);
  };

  void handle(const Typed& typed);
  void act(const std::string& line);
  void ask(const std::string& text);
  // Shows what comes of work that Ctrl-C stops; an Error is told.
  template <typename Work>
  std::optional<Answered> attempt(Work work);

  ChatPrompt make_prompt(std::span<const Message> messages) const;
  Answered answer(const Stop& stop);
  void write_answer(const Stop& stop, FinishReason& reason);
  const Outcome& evaluate(const Feed& feed, const Stop& stop);
  void show_events();
  void keep();
  void take_settings();
  void tell(FinishReason reason, const EngineSnapshot& before);
  std::string describe_timings(const EngineSnapshot& before) const;

  void set_memory(const std::string& value);
  void show_model();
  void show_settings();
  void show_messages();
  void show_prompt();
  void show_tokens();
  ExpertMap expert_map() const;

  Engine& engine_;
  const ChatTemplate& template_;
  const ChatSettings given_;  // by the command line
  ChatSettings settings_;
  ChangedSettings changed_;
  const JournalOptions kept_;
  ChatScreen& screen_;
  Conversation conversation_;
  std::unique_ptr<Journal> journal_;  // null: the chat is not kept
  bool keep_failed_ = false;          // the last time
  ExpertUses uses_;
  bool drafting_ = false;  // the pass that runs has tokens that may not stay
  Totals totals_;
  std::vector<std::string> attached_;  // texts of files
  // At a terminal:
  TakenInterrupts* interrupts_ = nullptr;
  std::string offered_;            // the line that is to be edited
  std::optional<int64_t> edited_;  // messages of the user's that it takes the place of, counted
                                   // from the last
  bool leaving_ = false;
  bool interrupted_ = false;  // Ctrl-C, and nothing since
};

}  // namespace st

// The file of a conversation: what was said, and, where it pays, the keys and values of its tokens,
// so that it goes on after any end of the process as if there had been none.
//
//   Journal journal(engine, path, template_source);
//   conversation.become(journal.chat(), [&](SequenceId id) { return journal.restore(id); });
//   ... an answer ...
//   journal.save(conversation.state(), conversation.sequence(), conversation.timings());
//
// A turn is appended, and counts once it is in the file for good: whatever happens while it is
// saved costs that turn, never the file. What was taken back stays in the file until it is more
// than what is left; then the file is written anew. docs/format-session.md has the format.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "chat/chat_state.h"
#include "chat/conversation.h"
#include "chat/journal_contents.h"
#include "chat/journal_file.h"
#include "chat/journal_header.h"
#include "chat/journal_records.h"
#include "engine/engine.h"

namespace st {

enum class KeepKv {
  kAuto,  // where reading them takes less than a fifth of the time that it saves
  kAlways,
  kNever,
};

struct JournalOptions {
  KeepKv keep = KeepKv::kAuto;
  uint64_t limit = uint64_t{1} << 30;  // bytes of keys and values that are kept
  bool exact = false;                  // refuse keys and values that other kernels have computed
};

class Journal {
 public:
  // Opens the file, which begins with the first save() if there is none yet, and locks it. `engine`
  // outlives the journal. Throws Error, with the path: kIo also where the file is in use,
  // kInvalidData | kUnsupported for what is no such file, kNotFound.
  Journal(Engine& engine, std::string path, std::string_view template_source,
          JournalOptions options = {});

  const std::string& path() const { return file_.path(); }
  const ChatState& chat() const { return contents_.chat(); }  // as it was saved last
  bool is_new() const { return contents_.turns() == 0; }      // nothing was saved yet
  // What is to be told once: what could not be used, and why.
  std::vector<std::string> take_notices() { return std::exchange(notices_, {}); }

  // Gives a sequence the keys and values of chat().tokens; false: there are none that are good for
  // it, which is told.
  bool restore(SequenceId id);
  // The engine begins with the experts in memory that the chat used most, where there is a budget;
  // what is of a model with others is told. Before the first pass, or nothing happens.
  void warm();

  // Appends what is new since the last time, if anything is. `id` holds chat.tokens. Throws
  // Error(kIo), for example where the disk is full: then its turns are as they were, and the next
  // time appends this, too.
  void save(const ChatState& chat, SequenceId id, const AnswerTimings& timings);

 private:
  void take(ReadJournal read);
  bool keeps(SequenceId id);
  void write(JournalWriter& writer, const JournalContents& at, const ChatState& chat, SequenceId id,
             bool keep) const;
  void append(const ChatState& chat, SequenceId id, bool keep);
  void rewrite(const ChatState& chat, SequenceId id, bool keep);
  void save_hot_set();
  void notice(const std::string& text);

  Engine& engine_;
  const JournalOptions options_;
  JournalFile file_;
  JournalHeader header_;
  JournalContents contents_;
  std::string hot_set_;  // as it was saved last; empty: none
  uint64_t header_bytes_ = 0, end_ = 0, chain_ = 0;
  bool stale_ = true;       // the file has nothing to go on from, or another header
  double prompt_rate_ = 0;  // tokens per second, the highest seen; 0: none
  std::vector<std::string> notices_;
};

}  // namespace st

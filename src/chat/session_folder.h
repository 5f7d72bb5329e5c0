// Conversations that are kept by name: files NAME.stsession in a folder of the user's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "chat/chat_state.h"

namespace st {

// "/home/ann/.local/state/smallthinker/sessions". Throws Error(kNotFound) where there is none.
std::string session_folder();
// 1 to 64 of A-Z a-z 0-9 . _ -, the first of which is no dot.
bool is_session_name(std::string_view name);
// Of a name the path of its file, in the folder, which is made; a path that has a '/' or the ending
// of such files stays what it is. Throws Error(kInvalidUsage) for what is neither.
std::string session_path(const std::string& name_or_file);

struct SessionInfo {
  std::string name, path;
  uint64_t bytes = 0;    // of the file
  int64_t modified = 0;  // seconds since 1970
  std::string model;     // its name
  ChatState chat;        // of the last turn that is whole
  std::string error;     // why it cannot be read; empty: it was
};
// What there is of a conversation; it may be in use. Throws Error, with the path.
SessionInfo read_session(const std::string& path);
// All in the folder, the latest first.
std::vector<SessionInfo> list_sessions();
// The first line of what the user said first.
std::string session_title(const ChatState& chat);

// Throw Error with the path, also where the session is in use, or is none.
void remove_session(const std::string& path);
// A new one with messages that some model may go on with. Throws Error(kIo) if there is one
// already.
void write_session(const std::string& path, std::vector<Message> messages);

// While the files of the folder are more bytes than `most`, those that were not used for longest
// lose their keys and values: what was said stays. Returns their names.
std::vector<std::string> shrink_sessions(uint64_t most);

}  // namespace st

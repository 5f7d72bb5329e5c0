// What there is of a chat, wherever it is kept: in a Conversation or in the file of one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "chat/message.h"
#include "text/vocab.h"

namespace st {

struct ChatState {
  std::vector<Message> messages;
  std::vector<Token> tokens;  // that the sequence of the engine holds
  // Of the sampler that goes on from answer to answer: its seed, once there is one, and how many
  // outputs of that seed's generator it has used.
  std::optional<uint32_t> seed;
  uint64_t used = 0;
  std::string settings;  // of whoever leads the conversation: JSON of an object, or empty

  bool operator==(const ChatState&) const = default;
};

}  // namespace st

// Finds added tokens such as <|im_start|> in text.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "text/vocab.h"

namespace st {

// Immutable; find() may be called from several threads.
class SpecialTokens {
 public:
  struct Name {
    std::string_view text;
    Token token;
  };
  // Limits that keep the search linear and its memory small, whatever a file says.
  static constexpr size_t kMaxNameBytes = 256;
  static constexpr size_t kMaxTotalBytes = size_t{1} << 20;

  // Keeps nothing of `names`. Throws Error(kInvalidData) on empty, repeated or too long ones.
  explicit SpecialTokens(std::vector<Name> names);

  struct Match {
    size_t begin, end;  // bytes of the text
    Token token;
  };
  // The leftmost name in `text` at or after `from`, and of those that begin there the longest.
  std::optional<Match> find(std::string_view text, size_t from) const {
    return find(text, from, [](const Match&) { return true; });
  }
  // Of those that `counts(match)`.
  template <typename Counts>
  std::optional<Match> find(std::string_view text, size_t from, const Counts& counts) const {
    for (size_t begin = from; begin < text.size(); ++begin) {
      if (!begins_[static_cast<uint8_t>(text[begin])]) continue;
      std::optional<Match> longest;
      const Node* node = nodes_.data();
      for (size_t i = begin; i < text.size(); ++i) {
        node = child(*node, static_cast<uint8_t>(text[i]));
        if (node == nullptr) break;
        if (node->token < 0) continue;
        const Match match = {begin, i + 1, node->token};
        if (counts(match)) longest = match;
      }
      if (longest) return longest;
    }
    return std::nullopt;
  }

 private:
  // A trie, breadth first: the children of a node are neighbours, ordered by byte.
  struct Node {
    Token token = -1;  // whose name ends here
    uint32_t first_child = 0;
    uint16_t children = 0;
    uint8_t byte = 0;  // on the way to this node
  };
  const Node* child(const Node& node, uint8_t byte) const;

  std::vector<Node> nodes_;
  std::array<bool, 256> begins_{};  // bytes that some name begins with
};

}  // namespace st

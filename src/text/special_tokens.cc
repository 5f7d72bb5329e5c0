#include "text/special_tokens.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace st {
namespace {

void check(const std::vector<SpecialTokens::Name>& names) {
  size_t total = 0;
  for (const auto& [text, token] : names) {
    total += text.size();
    if (text.empty() || text.size() > SpecialTokens::kMaxNameBytes) {
      fail(ErrorCode::kInvalidData, "tokens[{}]: special token of {} bytes, want 1..{}", token,
           text.size(), SpecialTokens::kMaxNameBytes);
    }
    if (total > SpecialTokens::kMaxTotalBytes) {
      fail(ErrorCode::kInvalidData, "tokens[{}]: special tokens have more than {} bytes in all",
           token, SpecialTokens::kMaxTotalBytes);
    }
  }
}

}  // namespace

SpecialTokens::SpecialTokens(std::vector<Name> names) {
  check(names);
  std::ranges::sort(names, {}, [](const Name& n) { return std::pair(n.text, n.token); });
  const auto same = std::ranges::adjacent_find(names, {}, &Name::text);
  if (same != names.end()) {
    fail(ErrorCode::kInvalidData, "tokens[{}]: '{}' is also token {}", same[1].token,
         printable(same->text), same->token);
  }

  struct Range {
    size_t begin, end, depth;  // the names below a node, which share their first `depth` bytes
  };
  std::vector<Range> ranges = {{0, names.size(), 0}};
  nodes_.emplace_back();
  for (size_t i = 0; i < nodes_.size(); ++i) {
    auto [begin, end, depth] = ranges[i];
    if (begin < end && names[begin].text.size() == depth) nodes_[i].token = names[begin++].token;
    nodes_[i].first_child = static_cast<uint32_t>(nodes_.size());
    while (begin < end) {
      const size_t first = begin;
      const char byte = names[first].text[depth];
      while (begin < end && names[begin].text[depth] == byte) ++begin;
      nodes_.push_back({.byte = static_cast<uint8_t>(byte)});
      ranges.push_back({first, begin, depth + 1});
      ++nodes_[i].children;
    }
  }
  for (size_t i = 0; i < nodes_[0].children; ++i) begins_[nodes_[1 + i].byte] = true;
}

const SpecialTokens::Node* SpecialTokens::child(const Node& node, uint8_t byte) const {
  const Node* begin = nodes_.data() + node.first_child;
  const Node* end = begin + node.children;
  const Node* it = std::ranges::lower_bound(begin, end, byte, {}, &Node::byte);
  return it != end && it->byte == byte ? it : nullptr;
}

}  // namespace st

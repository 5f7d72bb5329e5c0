#include "text/hf_sentencepiece.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "text/bpe.h"
#include "text/seeded_hash.h"
#include "text/sentencepiece.h"
#include "text/utf8.h"

namespace st {
namespace {

using nlohmann::json;

// Word for word as in Gemma's tokenizer.json, but for the order of keys.
constexpr std::string_view kNormalizer =
    R"({"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"})";
// Finds nothing to cut: there are no blanks by then.
constexpr std::string_view kPreTokenizer =
    R"({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious",)"
    R"( "invert": false})";
constexpr std::string_view kDecoder =
    R"({"type": "Sequence", "decoders": [)"
    R"({"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},)"
    R"( {"type": "ByteFallback"}, {"type": "Fuse"}]})";
constexpr std::string_view kText = R"({"Sequence": {"id": "A", "type_id": 0}})";

void check_part(const json& tokenizer, std::string_view name, std::string_view wanted) {
  const json* part = find(tokenizer, name);
  if (part != nullptr && *part == parse_json(wanted)) return;
  fail(ErrorCode::kUnsupported, "{}: {} unsupported, want {}", name,
       part == nullptr ? "null" : show_json(*part), wanted);
}

// The token that the post-processor puts in front of a text; empty if none.
std::string front_token(const json* post_processor) {
  if (post_processor == nullptr) return {};
  const json* single = find(*post_processor, "single");
  if (find_string(*post_processor, "type", "") == "TemplateProcessing" && single != nullptr &&
      single->is_array() && !single->empty() && single->back() == parse_json(kText)) {
    if (single->size() == 1) return {};
    const json* special = find(single->front(), "SpecialToken");
    if (single->size() == 2 && special != nullptr) return find_string(*special, "id", "");
  }
  fail(ErrorCode::kUnsupported, "want TemplateProcessing with at most one token before the text");
}

// Tokens by text, and which of them are pieces.
class PieceIndex {
 public:
  explicit PieceIndex(const Vocab& vocab) : vocab_(vocab), ids_(vocab.tokens.size(), SeededHash{}) {
    for (size_t id = 0; id < vocab.tokens.size(); ++id) ids_.emplace(vocab.tokens[id], id);
  }

  std::optional<size_t> find(std::string_view text) const {
    const auto it = ids_.find(text);
    return it == ids_.end() ? std::nullopt : std::optional(it->second);
  }

  bool is_piece(std::string_view text) const {
    const auto id = find(text);
    return id && st::is_piece(vocab_, *id);
  }

 private:
  const Vocab& vocab_;
  std::unordered_map<std::string_view, size_t, SeededHash> ids_;
};

// How many pairs of pieces make up a text.
size_t splits(std::string_view text, const PieceIndex& index) {
  size_t count = 0;
  for (size_t i = 0; (i += utf8_step(text.substr(i)).length) < text.size();) {
    count += index.is_piece(text.substr(0, i)) && index.is_piece(text.substr(i)) ? 1 : 0;
  }
  return count;
}

// Reads merges in their order, and whether scores can say it.
class MergeOrder {
 public:
  explicit MergeOrder(const Vocab& vocab)
      : vocab_(vocab), index_(vocab), merges_into_(vocab.tokens.size(), 0) {}

  void add(size_t rank, const std::string& merge) {
    const auto [left, right] = merge_parts(merge, rank);
    const auto id_of = [&](std::string_view piece) {
      const auto id = index_.find(piece);
      if (!id) {
        fail(ErrorCode::kInvalidData, "merges[{}]: '{}' not in vocab", rank, printable(piece));
      }
      return *id;
    };
    const std::string text = std::string(left).append(right);
    const size_t result = id_of(text);
    // Of added tokens nothing is left in a text when merging begins.
    const bool reachable =
        is_piece(vocab_, id_of(left)) && is_piece(vocab_, id_of(right)) && is_piece(vocab_, result);
    if (!reachable) return;
    vocab_.types[result] == TokenType::kNormal ? add_normal(rank, result) : add_run(rank, text);
    ++merges_into_[result];
  }

  // The results that are normal tokens, best first.
  const std::vector<size_t>& order() const { return order_; }

  void check_complete() const {
    for (size_t id = 0; id < vocab_.tokens.size(); ++id) {
      const size_t wanted = is_piece(vocab_, id) ? splits(vocab_.tokens[id], index_) : 0;
      if (merges_into_[id] == wanted) continue;
      fail(ErrorCode::kUnsupported, "model: {} merges into '{}' of {} that scores would allow",
           merges_into_[id], printable(vocab_.tokens[id]), wanted);
    }
  }

 private:
  void add_normal(size_t rank, size_t result) {
    if (!order_.empty() && order_.back() == result) return;
    if (merges_into_[result] > 0) {
      fail(ErrorCode::kUnsupported,
           "merges[{}]: '{}' comes of earlier merges too: no score says so", rank,
           printable(vocab_.tokens[result]));
    }
    order_.push_back(result);
  }

  // Runs grow blank by blank if two single blanks are the last to merge.
  void add_run(size_t rank, const std::string& run) {
    if (runs_done_ || !order_.empty()) {
      fail(ErrorCode::kUnsupported, "merges[{}]: a run of blanks must come before '{}'", rank,
           runs_done_ ? "two blanks" : printable(vocab_.tokens[order_.front()]));
    }
    runs_done_ = run.size() == 2 * kBlankMark.size();
  }

  const Vocab& vocab_;
  PieceIndex index_;
  std::vector<size_t> merges_into_;  // by id
  std::vector<size_t> order_;
  bool runs_done_ = false;
};

}  // namespace

void read_sentencepiece_parts(const json& tokenizer, Vocab& vocab) {
  vocab.kind = TokenizerKind::kSentencePiece;
  check_part(tokenizer, "normalizer", kNormalizer);
  check_part(tokenizer, "decoder", kDecoder);
  if (find(tokenizer, "pre_tokenizer") != nullptr) {
    check_part(tokenizer, "pre_tokenizer", kPreTokenizer);
  }
  for (size_t id = 0; id < vocab.tokens.size(); ++id) {
    TokenType& type = vocab.types[id];
    if (type == TokenType::kNormal && byte_of_piece(vocab.tokens[id])) type = TokenType::kByte;
  }
  with_context("post_processor", [&] {
    const std::string front = front_token(find(tokenizer, "post_processor"));
    if (front.empty()) return;
    const auto it = std::ranges::find(vocab.tokens, front);
    if (it == vocab.tokens.end()) {
      fail(ErrorCode::kInvalidData, "'{}' not in vocab", printable(front));
    }
    vocab.bos = static_cast<Token>(it - vocab.tokens.begin());
    vocab.add_bos = true;
  });
}

void scores_of_merges(Vocab& vocab) {
  // llama.cpp's converter has these.
  constexpr float kAdded = -1000, kUnused = -10'000;
  MergeOrder merges(vocab);
  for (size_t rank = 0; rank < vocab.merges.size(); ++rank) merges.add(rank, vocab.merges[rank]);
  merges.check_complete();

  vocab.scores.assign(vocab.tokens.size(), 0);
  float next = 0;
  std::vector<bool> has_score(vocab.tokens.size());
  for (const size_t id : merges.order()) vocab.scores[id] = --next, has_score[id] = true;
  for (size_t id = 0; id < vocab.tokens.size(); ++id) {
    const TokenType type = vocab.types[id];
    if (type == TokenType::kNormal) {
      if (!has_score[id]) vocab.scores[id] = --next;
    } else if (type != TokenType::kByte) {
      vocab.scores[id] = type == TokenType::kUnused ? kUnused : kAdded;
    }
  }
  vocab.merges = {};
}

}  // namespace st

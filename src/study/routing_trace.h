// Which experts a run asked for, recorded or made up, to replay with other cache sizes and
// policies.
//
// The file, little-endian, no padding:
//
//   8 bytes   "STROUTE1"
//   u32       layers, experts of a layer, experts used by a token; u32 0
//   u64       bytes of an expert's gate matrix, of its up and down matrices together
//   then for each forward pass, to the end of the file:
//   u32       tokens
//   u16       the chosen experts: (layers, tokens, used), best first
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace st {

struct RoutingShape {
  int64_t layers = 0;
  int64_t experts = 0;
  int64_t used = 0;
  uint64_t gate_bytes = 0;
  uint64_t up_down_bytes = 0;

  uint64_t expert_bytes() const { return gate_bytes + up_down_bytes; }
  uint64_t all_bytes() const { return static_cast<uint64_t>(layers * experts) * expert_bytes(); }
};

class RoutingTrace {
 public:
  explicit RoutingTrace(const RoutingShape& shape) : shape_(shape) {}

  // chosen: (layers, tokens, used). REQUIRES: ids are distinct for each token and in range.
  void add_pass(int64_t tokens, std::span<const uint16_t> chosen);
  // The same, chosen still to be filled in; valid until the next one.
  std::span<uint16_t> add_pass(int64_t tokens);
  // Addresses for so many ids and passes: then adding them never takes twice the memory.
  void reserve(uint64_t ids, uint64_t passes);

  const RoutingShape& shape() const { return shape_; }
  int64_t passes() const { return static_cast<int64_t>(ends_.size()); }
  int64_t tokens() const { return token_of(chosen_.size()); }  // of all passes
  int64_t tokens(int64_t pass) const { return token_of(end(pass) - begin(pass)); }
  uint64_t ids() const { return chosen_.size(); }
  // (tokens, used)
  std::span<const uint16_t> chosen(int64_t pass, int64_t layer) const;

  void drop_first(int64_t passes);

 private:
  size_t end(int64_t pass) const { return ends_[static_cast<size_t>(pass)]; }
  size_t begin(int64_t pass) const { return pass == 0 ? 0 : end(pass - 1); }
  int64_t token_of(size_t ids) const {
    return static_cast<int64_t>(ids) / (shape_.layers * shape_.used);
  }

  RoutingShape shape_;
  std::vector<size_t> ends_;  // of the passes, in chosen_
  std::vector<uint16_t> chosen_;
};

// Throws Error(kInvalidData) for what is not such a file, and Error(kIo).
RoutingTrace read_routing_trace(const ByteSource& source);

// Writes the file as a run goes on; it appears under its name, complete, by finish().
class RoutingRecorder {
 public:
  // Throws Error(kIo), or Error(kUnsupported) for more than 65536 experts.
  RoutingRecorder(const std::string& path, const RoutingShape& shape);

  // The next layer of a pass, from layer 0 on. chosen: (tokens, used). A pass that ends early is
  // left out.
  void record(int64_t layer, std::span<const int32_t> chosen);
  void finish();

 private:
  RoutingShape shape_;
  AtomicFile file_;
  std::vector<uint16_t> pass_;  // its layers so far
};

// Made-up routing, to compare cache policies with: which experts each token asks for.
//
// Each token takes the experts of the highest scores. A score is what the expert's rank says, the
// ranks being shuffled anew for each layer, plus a normal deviate:
//
//   uniform    all ranks alike: nothing to know, the worst case for any cache
//   published  the frequencies of the technical report (figures 4 and 5): a fifth to a quarter of
//              the experts at 0.3-0.5 of the tokens, the others below 0.14. The gentle end of what
//              the report says: synth's models, at the other end, have a sharper edge
//   drifting   the same, but the topic changes every 200 tokens on average, and with it the ranks
//              of about half the experts
//   sticky     `drifting`, and deviates of successive tokens correlate by 0.6, as neighbouring
//              words often want the same experts
enum class MadeUpKind { kUniform, kPublished, kDrifting, kSticky };

std::optional<MadeUpKind> parse_made_up_kind(std::string_view name);

// `tokens` passes of one token.
RoutingTrace make_up_routing(const RoutingShape& shape, MadeUpKind kind, int64_t tokens,
                             uint64_t seed);

// The shape of the 4B ("4b") or the 21B ("21b") in Q4_0; nullopt for another name.
std::optional<RoutingShape> released_shape(std::string_view name);

}  // namespace st

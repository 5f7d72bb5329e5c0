// Which experts a run asked for, to replay with other cache sizes and policies.
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
#include <span>
#include <string>
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

  const RoutingShape& shape() const { return shape_; }
  int64_t passes() const { return static_cast<int64_t>(passes_.size()); }
  int64_t tokens() const { return tokens_; }  // of all passes
  int64_t tokens(int64_t pass) const { return passes_[static_cast<size_t>(pass)].tokens; }
  // (tokens, used)
  std::span<const uint16_t> chosen(int64_t pass, int64_t layer) const;

  // What is left after the first `passes`.
  RoutingTrace without_first(int64_t passes) const;

 private:
  struct Pass {
    int64_t tokens;
    size_t begin;  // in chosen_
  };
  RoutingShape shape_;
  std::vector<Pass> passes_;
  std::vector<uint16_t> chosen_;
  int64_t tokens_ = 0;
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

}  // namespace st

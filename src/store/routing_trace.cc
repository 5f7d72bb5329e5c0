#include "store/routing_trace.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"
#include "base/reader.h"

namespace st {
namespace {

constexpr std::array<char, 8> kMagic{'S', 'T', 'R', 'O', 'U', 'T', 'E', '1'};
constexpr uint32_t kMaxLayers = 4096;
constexpr uint32_t kMaxExperts = 65536;
constexpr uint64_t kMaxBytes = uint64_t{1} << 40;  // of a part of an expert

RoutingShape read_shape(Reader& in) {
  const auto number = [&](const char* what, uint32_t most) {
    const auto value = in.get<uint32_t>("the header");
    if (value < 1 || value > most) {
      fail(ErrorCode::kInvalidData, "{} {}: want 1..{}", what, value, most);
    }
    return int64_t{value};
  };
  RoutingShape shape;
  shape.layers = number("layers", kMaxLayers);
  shape.experts = number("experts", kMaxExperts);
  shape.used = number("experts used", static_cast<uint32_t>(shape.experts));
  in.skip(sizeof(uint32_t), "the header");
  shape.gate_bytes = in.get<uint64_t>("the header");
  shape.up_down_bytes = in.get<uint64_t>("the header");
  if (shape.gate_bytes > kMaxBytes || shape.up_down_bytes > kMaxBytes || shape.expert_bytes() < 1) {
    fail(ErrorCode::kInvalidData, "experts of {} + {} bytes", shape.gate_bytes,
         shape.up_down_bytes);
  }
  return shape;
}

void check_ids(const RoutingShape& shape, std::span<const uint16_t> chosen) {
  const auto used = static_cast<size_t>(shape.used);
  for (size_t i = 0; i < chosen.size(); ++i) {
    if (chosen[i] >= shape.experts) {
      fail(ErrorCode::kInvalidData, "expert {} of {}", chosen[i], shape.experts);
    }
    const auto token = chosen.begin() + static_cast<ptrdiff_t>(i - i % used);
    const auto here = chosen.begin() + static_cast<ptrdiff_t>(i);
    if (std::find(token, here, chosen[i]) != here) {
      fail(ErrorCode::kInvalidData, "a token asks for expert {} twice", chosen[i]);
    }
  }
}

}  // namespace

void RoutingTrace::add_pass(int64_t tokens, std::span<const uint16_t> chosen) {
  passes_.push_back({tokens, chosen_.size()});
  chosen_.insert(chosen_.end(), chosen.begin(), chosen.end());
  tokens_ += tokens;
}

std::span<const uint16_t> RoutingTrace::chosen(int64_t pass, int64_t layer) const {
  const Pass& p = passes_[static_cast<size_t>(pass)];
  const auto n = static_cast<size_t>(p.tokens * shape_.used);
  return std::span(chosen_).subspan(p.begin + static_cast<size_t>(layer) * n, n);
}

RoutingTrace RoutingTrace::without_first(int64_t passes) const {
  RoutingTrace rest(shape_);
  for (int64_t p = passes; p < this->passes(); ++p) {
    const auto n = static_cast<size_t>(tokens(p) * shape_.used * shape_.layers);
    rest.add_pass(tokens(p), std::span(chosen_).subspan(passes_[static_cast<size_t>(p)].begin, n));
  }
  return rest;
}

RoutingTrace read_routing_trace(const ByteSource& source) {
  Reader in(source);
  if (in.get<std::array<char, 8>>("the header") != kMagic) {
    fail(ErrorCode::kInvalidData, "not a routing trace (run --record-routing makes one)");
  }
  RoutingTrace trace(read_shape(in));
  const RoutingShape& shape = trace.shape();
  std::vector<uint16_t> chosen;
  while (in.remaining() > 0) {
    const auto tokens = in.get<uint32_t>("a pass");
    // No overflow: 2^12 layers, 2^32 tokens, 2^16 experts.
    const uint64_t values =
        static_cast<uint64_t>(shape.layers) * tokens * static_cast<uint64_t>(shape.used);
    if (tokens < 1 || values > in.remaining() / sizeof(uint16_t)) {
      fail(ErrorCode::kInvalidData, "pass {} of {} tokens: {} bytes are left", trace.passes(),
           tokens, in.remaining());
    }
    chosen.resize(values);
    in.read(chosen.data(), values * sizeof(uint16_t), "a pass");
    check_ids(shape, chosen);
    trace.add_pass(tokens, chosen);
  }
  if (trace.passes() == 0) fail(ErrorCode::kInvalidData, "the trace has no passes");
  return trace;
}

RoutingRecorder::RoutingRecorder(const std::string& path, const RoutingShape& shape)
    : shape_(shape), file_(path) {
  if (shape.experts > kMaxExperts) {
    fail(ErrorCode::kUnsupported, "{} experts: a routing trace has room for {}", shape.experts,
         kMaxExperts);
  }
  const std::array<uint32_t, 4> counts{static_cast<uint32_t>(shape.layers),
                                       static_cast<uint32_t>(shape.experts),
                                       static_cast<uint32_t>(shape.used), 0};
  file_.write(bytes_of(kMagic));
  file_.write(bytes_of(counts));
  file_.write(bytes_of(shape.gate_bytes));
  file_.write(bytes_of(shape.up_down_bytes));
}

void RoutingRecorder::record(int64_t layer, std::span<const int32_t> chosen) {
  if (layer == 0) pass_.clear();
  pass_.insert(pass_.end(), chosen.begin(), chosen.end());
  if (layer + 1 != shape_.layers) return;
  const auto tokens = static_cast<uint32_t>(chosen.size() / static_cast<size_t>(shape_.used));
  file_.write(bytes_of(tokens));
  file_.write(std::as_bytes(std::span(pass_)));
}

void RoutingRecorder::finish() { file_.commit(); }

}  // namespace st

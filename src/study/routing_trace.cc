#include "study/routing_trace.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>
#include <utility>

#include "base/error.h"
#include "base/reader.h"

namespace st {
namespace {

constexpr std::array<char, 8> kMagic{'S', 'T', 'R', 'O', 'U', 'T', 'E', '1'};
constexpr uint32_t kMaxLayers = 4096;
constexpr uint32_t kMaxExperts = 65536;
// Of all layers. A replay keeps about a hundred bytes for each, whatever the size of the file; a
// model of 61 layers with 256 experts has 15,616.
constexpr int64_t kMaxUnits = int64_t{1} << 18;
constexpr uint64_t kMaxIds = UINT32_MAX;           // in a file
constexpr uint64_t kMaxBytes = uint64_t{1} << 40;  // of a part of an expert

void check_units(const RoutingShape& shape) {
  if (shape.layers * shape.experts <= kMaxUnits) return;
  fail(ErrorCode::kInvalidData, "layers {} x experts {}: want at most {} in all", shape.layers,
       shape.experts, kMaxUnits);
}

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
  check_units(shape);
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

// Looks at ids in the order of the file, a token's side by side.
class IdCheck {
 public:
  explicit IdCheck(const RoutingShape& shape)
      : shape_(shape), last_token_(static_cast<size_t>(shape.experts)) {}

  void check(std::span<const uint16_t> chosen) {
    for (size_t i = 0; i < chosen.size(); ++i) {
      if (i % static_cast<size_t>(shape_.used) == 0) ++token_;
      const uint16_t id = chosen[i];
      if (id >= shape_.experts) {
        fail(ErrorCode::kInvalidData, "expert {} of {}", id, shape_.experts);
      }
      if (std::exchange(last_token_[id], token_) == token_) {
        fail(ErrorCode::kInvalidData, "a token asks for expert {} twice", id);
      }
    }
  }

 private:
  const RoutingShape shape_;
  uint64_t token_ = 0;
  std::vector<uint64_t> last_token_;  // that asked for each expert
};

}  // namespace

void RoutingTrace::add_pass(int64_t tokens, std::span<const uint16_t> chosen) {
  std::ranges::copy(chosen, add_pass(tokens).begin());
}

std::span<uint16_t> RoutingTrace::add_pass(int64_t tokens) {
  const size_t begin = chosen_.size();
  chosen_.resize(begin + static_cast<size_t>(shape_.layers * tokens * shape_.used));
  ends_.push_back(chosen_.size());
  return std::span(chosen_).subspan(begin);
}

void RoutingTrace::reserve(uint64_t ids, uint64_t passes) {
  chosen_.reserve(ids);
  ends_.reserve(passes);
}

std::span<const uint16_t> RoutingTrace::chosen(int64_t pass, int64_t layer) const {
  const auto n = static_cast<size_t>(tokens(pass) * shape_.used);
  return std::span(chosen_).subspan(begin(pass) + static_cast<size_t>(layer) * n, n);
}

void RoutingTrace::drop_first(int64_t passes) {
  const size_t ids = begin(passes);
  chosen_.erase(chosen_.begin(), chosen_.begin() + static_cast<ptrdiff_t>(ids));
  ends_.erase(ends_.begin(), ends_.begin() + passes);
  for (size_t& end : ends_) end -= ids;
}

RoutingTrace read_routing_trace(const ByteSource& source) {
  Reader in(source);
  if (in.get<std::array<char, 8>>("the header") != kMagic) {
    fail(ErrorCode::kInvalidData, "not a routing trace (run --record-routing makes one)");
  }
  RoutingTrace trace(read_shape(in));
  const RoutingShape& shape = trace.shape();
  const uint64_t ids = in.remaining() / sizeof(uint16_t);
  if (ids >= kMaxIds) fail(ErrorCode::kInvalidData, "{} ids: want less than {}", ids, kMaxIds);
  const auto token = static_cast<uint64_t>(shape.layers * shape.used);
  trace.reserve(ids, in.remaining() / (sizeof(uint32_t) + token * sizeof(uint16_t)));
  IdCheck good(shape);
  while (in.remaining() > 0) {
    const auto tokens = in.get<uint32_t>("a pass");
    // No overflow: 2^12 layers, 2^32 tokens, 2^16 experts.
    const uint64_t values =
        static_cast<uint64_t>(shape.layers) * tokens * static_cast<uint64_t>(shape.used);
    if (tokens < 1 || values > in.remaining() / sizeof(uint16_t)) {
      fail(ErrorCode::kInvalidData, "pass {} of {} tokens: {} bytes are left", trace.passes(),
           tokens, in.remaining());
    }
    const std::span<uint16_t> chosen = trace.add_pass(tokens);
    in.read(chosen.data(), values * sizeof(uint16_t), "a pass");
    good.check(chosen);
  }
  if (trace.passes() == 0) fail(ErrorCode::kInvalidData, "the trace has no passes");
  source.check_unchanged();
  return trace;
}

RoutingRecorder::RoutingRecorder(const std::string& path, const RoutingShape& shape)
    : shape_(shape), file_(path) {
  if (shape.experts > kMaxExperts) {
    fail(ErrorCode::kUnsupported, "{} experts: a routing trace has room for {}", shape.experts,
         kMaxExperts);
  }
  check_units(shape);
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

namespace {

constexpr double kTopicTokens = 200;  // that a topic lasts, on average
constexpr double kTraded = 0.3;       // share of the ranks that a new topic trades for others
constexpr double kCorrelation = 0.6;

// What rank i of E adds to the score, in deviations. Chosen so that the frequencies come out as
// the header says; routing_trace_test checks them.
double rank_score(int64_t i, int64_t E, int64_t used) {
  const double hot = static_cast<double>(E) * 7 / 32;
  const double at = static_cast<double>(i);
  // The more experts there are for each that is used, the higher a hot one has to stand out.
  const double edge = static_cast<double>(E) / static_cast<double>(used) > 9 ? 0.35 : 0;
  if (at < hot) return 1.75 + edge - 0.56 * at / hot;
  return 0.45 - 0.84 * (at - hot) / (static_cast<double>(E) - hot);
}

class Generator {
 public:
  Generator(const RoutingShape& shape, MadeUpKind kind, uint64_t seed)
      : shape_(shape),
        kind_(kind),
        random_(seed),
        expert_(static_cast<size_t>(shape.layers * shape.experts)),
        deviate_(expert_.size()) {
    for (int64_t l = 0; l < shape_.layers; ++l) {
      const auto row = experts(l);
      std::iota(row.begin(), row.end(), uint16_t{0});
      std::ranges::shuffle(row, random_);
    }
    for (double& deviate : deviate_) deviate = normal_(random_);
  }

  // (layers, used)
  std::vector<uint16_t> token() {
    const bool drifts = kind_ == MadeUpKind::kDrifting || kind_ == MadeUpKind::kSticky;
    if (drifts && uniform_(random_) * kTopicTokens < 1) change_topic();
    std::vector<uint16_t> chosen;
    for (int64_t l = 0; l < shape_.layers; ++l) choose(l, chosen);
    return chosen;
  }

 private:
  std::span<uint16_t> experts(int64_t l) {  // by rank
    const auto E = static_cast<size_t>(shape_.experts);
    return std::span(expert_).subspan(static_cast<size_t>(l) * E, E);
  }

  void change_topic() {
    for (int64_t l = 0; l < shape_.layers; ++l) {
      const auto row = experts(l);
      for (uint16_t& expert : row) {
        if (uniform_(random_) < kTraded) std::swap(expert, row[random_() % row.size()]);
      }
    }
  }

  void choose(int64_t l, std::vector<uint16_t>& chosen) {
    const auto row = experts(l);
    const double memory = kind_ == MadeUpKind::kSticky ? kCorrelation : 0;
    std::vector<std::pair<double, uint16_t>> scores;
    for (size_t i = 0; i < row.size(); ++i) {
      double& deviate = deviate_[static_cast<size_t>(l * shape_.experts) + row[i]];
      deviate = memory * deviate + std::sqrt(1 - memory * memory) * normal_(random_);
      const double rank = kind_ == MadeUpKind::kUniform
                              ? 0
                              : rank_score(static_cast<int64_t>(i), shape_.experts, shape_.used);
      scores.emplace_back(-(rank + deviate), row[i]);
    }
    std::ranges::partial_sort(scores, scores.begin() + shape_.used);
    for (int64_t j = 0; j < shape_.used; ++j) {
      chosen.push_back(scores[static_cast<size_t>(j)].second);
    }
  }

  RoutingShape shape_;
  MadeUpKind kind_;
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
  std::uniform_real_distribution<double> uniform_;
  std::vector<uint16_t> expert_;  // (layers, experts) by rank
  std::vector<double> deviate_;   // (layers, experts)
};

}  // namespace

std::optional<MadeUpKind> parse_made_up_kind(std::string_view name) {
  if (name == "uniform") return MadeUpKind::kUniform;
  if (name == "published") return MadeUpKind::kPublished;
  if (name == "drifting") return MadeUpKind::kDrifting;
  if (name == "sticky") return MadeUpKind::kSticky;
  return std::nullopt;
}

RoutingTrace make_up_routing(const RoutingShape& shape, MadeUpKind kind, int64_t tokens,
                             uint64_t seed) {
  RoutingTrace trace(shape);
  Generator generator(shape, kind, seed);
  for (int64_t t = 0; t < tokens; ++t) trace.add_pass(1, generator.token());
  return trace;
}

std::optional<RoutingShape> released_shape(std::string_view name) {
  // Bytes: 768 rows of 1536 or 2560 values, 18 bytes per 32.
  if (name == "4b") return RoutingShape{32, 32, 4, 663'552, 2 * 663'552};
  if (name == "21b") return RoutingShape{52, 64, 6, 1'105'920, 2 * 1'105'920};
  return std::nullopt;
}

}  // namespace st

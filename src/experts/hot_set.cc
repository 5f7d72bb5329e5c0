#include "experts/hot_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"

namespace st {
namespace {

constexpr std::string_view kTitle = "smallthinker-hot-set 1";
constexpr int64_t kUnit = 10'000;

std::string_view take_line(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

}  // namespace

std::string format_hot_set(std::span<const float> rates, int64_t layers, int64_t experts) {
  std::string text = fmt::format("{}\nlayers {} experts {}\n", kTitle, layers, experts);
  for (int64_t i = 0; i < layers * experts; ++i) {
    const float rate = std::clamp(rates[static_cast<size_t>(i)], 0.0f, 1.0f);
    text += fmt::format("{}{}", std::lround(rate * static_cast<float>(kUnit)),
                        (i + 1) % experts == 0 ? '\n' : ' ');
  }
  return text;
}

std::vector<float> parse_hot_set(std::string_view text, int64_t layers, int64_t experts) {
  if (take_line(text) != kTitle) fail(ErrorCode::kInvalidData, "not a hot set");
  const std::string want = fmt::format("layers {} experts {}", layers, experts);
  if (const std::string_view shape = take_line(text); shape != want) {
    fail(ErrorCode::kInvalidData, "hot set of another model: '{}', want '{}'", printable(shape),
         want);
  }
  std::vector<float> rates;
  for (int64_t l = 0; l < layers; ++l) {
    std::string_view line = take_line(text);
    for (int64_t e = 0; e < experts; ++e) {
      int64_t value = -1;
      const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
      if (error != std::errc() || value < 0 || value > kUnit) {
        fail(ErrorCode::kInvalidData, "hot set: layer {}, expert {}: want 0..{}", l, e, kUnit);
      }
      rates.push_back(static_cast<float>(value) / static_cast<float>(kUnit));
      line.remove_prefix(static_cast<size_t>(end - line.data()));
      if (e + 1 < experts && line.starts_with(' ')) line.remove_prefix(1);
    }
    if (!line.empty()) {
      fail(ErrorCode::kInvalidData, "hot set: layer {}: more than {} numbers", l, experts);
    }
  }
  if (!text.empty()) fail(ErrorCode::kInvalidData, "hot set: more than {} layers", layers);
  return rates;
}

}  // namespace st

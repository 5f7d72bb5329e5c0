#include "study/saved_logits.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/reader.h"

namespace st {
namespace {

constexpr std::string_view kMagic = "_logits_";
constexpr float kRange = 16;  // of the log-probabilities that differ
constexpr float kSteps = 65535;

template <typename T>
void put(std::vector<std::byte>& row, size_t at, T value) {
  std::memcpy(row.data() + at, &value, sizeof(T));
}

template <typename T>
T get(std::span<const std::byte> row, size_t at) {
  T value;
  std::memcpy(&value, row.data() + at, sizeof(T));
  return value;
}

}  // namespace

SavedLogitsWriter::SavedLogitsWriter(const std::string& path, const SavedLogitsShape& shape,
                                     std::span<const Token> tokens)
    : shape_(shape), file_(path), row_(shape.row_bytes()) {
  if (shape.rows() < 1) {
    fail(ErrorCode::kInvalidUsage,
         "no logits to save: want a text of a whole window, and windows of 3 tokens or more");
  }
  file_.write(std::as_bytes(std::span(kMagic)));
  for (const int64_t n : {shape.window, shape.vocab, shape.windows}) {
    file_.write(bytes_of(static_cast<int32_t>(n)));
  }
  file_.write(std::as_bytes(tokens));
}

void SavedLogitsWriter::add(std::span<const float> logits) {
  const auto [smallest, largest] = std::ranges::minmax(logits);
  const float least = std::max(smallest, largest - kRange);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double{logit} - largest);
  const float scale = (largest - least) / kSteps;
  put(row_, 0, scale);
  put(row_, 4, static_cast<float>(double{least} - largest - std::log(sum)));
  for (size_t i = 0; i < logits.size(); ++i) {
    const float steps = scale > 0 ? std::max(0.0f, logits[i] - least) / scale : 0;
    put(row_, 8 + 2 * i, static_cast<uint16_t>(std::nearbyint(std::min(steps, kSteps))));
  }
  file_.write(row_);
}

void SavedLogitsWriter::finish() { file_.commit(); }

SavedLogits::SavedLogits(const std::string& path)
    : SavedLogits(
          with_context(printable_path(path), [&] { return std::make_shared<const File>(path); }),
          printable_path(path)) {}

SavedLogits::SavedLogits(std::shared_ptr<const ByteSource> source, std::string name)
    : source_(std::move(source)), name_(std::move(name)) {
  with_context(name_, [&] { read_header(); });
  bytes_.resize(shape_.row_bytes());
  values_.resize(static_cast<size_t>(shape_.vocab));
}

void SavedLogits::read_header() {
  Reader reader(*source_);
  char magic[kMagic.size()];
  if (source_->size() >= sizeof(magic)) reader.read(magic, sizeof(magic), "the magic");
  if (source_->size() < sizeof(magic) || std::string_view(magic, sizeof(magic)) != kMagic) {
    fail(ErrorCode::kInvalidData, "has no saved logits: does not begin with '{}'", kMagic);
  }
  const auto number = [&](std::string_view what, int64_t least, int64_t most) {
    const int64_t n = reader.get<int32_t>(what);
    if (n < least || n > most) {
      fail(ErrorCode::kInvalidData, "{} {}: want {}..{}", what, n, least, most);
    }
    return n;
  };
  shape_.window = number("window", 3, 1 << 27);
  shape_.vocab = number("vocabulary", 1, 1 << 24);
  shape_.windows = number("windows", 1, INT32_MAX);
  const uint64_t tokens =
      static_cast<uint64_t>(shape_.window) * static_cast<uint64_t>(shape_.windows);
  const uint64_t rows =
      checked_mul(static_cast<uint64_t>(shape_.rows()), shape_.row_bytes(), "rows of logits");
  const uint64_t size = checked_add(reader.position() + tokens * sizeof(Token), rows, "bytes");
  if (size != source_->size()) {
    fail(ErrorCode::kInvalidData, "{} bytes, want {} for {} windows of {} tokens", source_->size(),
         size, shape_.windows, shape_.window);
  }
  tokens_.resize(tokens);
  reader.read(tokens_.data(), tokens * sizeof(Token), "tokens");
  for (size_t i = 0; i < tokens_.size(); ++i) {
    if (tokens_[i] >= 0 && tokens_[i] < shape_.vocab) continue;
    fail(ErrorCode::kInvalidData, "token {} is {}: want 0..{}", i, tokens_[i], shape_.vocab - 1);
  }
  at_ = reader.position();
}

std::span<const float> SavedLogits::next() {
  return with_context(name_, [&] {
    source_->read_at(at_, bytes_);
    const auto scale = get<float>(bytes_, 0), least = get<float>(bytes_, 4);
    if (!(scale >= 0 && scale <= kRange) || !std::isfinite(least)) {
      fail(ErrorCode::kInvalidData, "row {}: scale {} and least value {} are not possible", row_,
           scale, least);
    }
    for (size_t i = 0; i < values_.size(); ++i) {
      values_[i] = scale * get<uint16_t>(bytes_, 8 + 2 * i) + least;
    }
    at_ += bytes_.size();
    ++row_;
    return std::span<const float>(values_);
  });
}

}  // namespace st

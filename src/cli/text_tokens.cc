#include "cli/text_tokens.h"

#include <algorithm>

#include "base/error.h"
#include "engine/generate.h"

namespace st {
namespace {

// Of a prompt that is too long anyway so much more is read to say how long it is.
constexpr uint64_t kReadOn = uint64_t{64} << 20;

// Encoding takes so much at most when words have a usual length.
constexpr uint64_t kUsual = uint64_t{8} << 20;

// Addresses for tokens of a text that does not say how long it is.
constexpr uint64_t kUnknown = uint64_t{1} << 26;

}  // namespace

uint64_t TextTokens::encode(const TextRoom& room) {
  const bool all = windows_ == 0 || windows_ > INT64_MAX / room.context;
  const int64_t most = all ? INT64_MAX : windows_ * room.context;
  const uint64_t size = text_size(text_).value_or(kUnknown);
  tokens_.reserve(std::min(size, static_cast<uint64_t>(most)));
  const auto most_here = static_cast<int64_t>(room.bytes / sizeof(Token));

  TextEncoder encoder(room.tokenizer, parse_special_);
  std::vector<Token> some;
  bool too_long_a_word = false;
  uint64_t too_much = 0;  // bytes of a prompt beyond the context
  const auto take = [&] {
    const int64_t wanted = std::min(most - std::ssize(tokens_), std::ssize(some));
    count_ += std::ssize(some);
    if (std::min(count_, most) <= most_here) {
      tokens_.insert(tokens_.end(), some.begin(), some.begin() + std::max<int64_t>(0, wanted));
    } else {
      tokens_ = {};  // there is no room for them: only how many they are is of interest
    }
    some.clear();
  };
  read_parts(text_, [&](std::string_view part) {
    encoder.add(part, some);
    take();
    too_long_a_word = encoder.bytes() > std::max(room.bytes, kUsual);
    if (is_prompt_ && count_ > most) too_much += part.size();
    return !too_long_a_word && too_much <= kReadOn;
  });
  if (too_long_a_word) {
    tokens_ = {};
    return TextEncoder::kBytesPerByte * size;
  }
  encoder.finish(some);
  take();
  if (is_prompt_) check_prompt_fits(room.context, count_);
  return static_cast<uint64_t>(std::min(count_, most)) * sizeof(Token);
}

}  // namespace st

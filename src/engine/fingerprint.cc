#include "engine/fingerprint.h"

#include <algorithm>
#include <array>

#include "base/checksum.h"

namespace st {
namespace {

void add_text(Checksum& sum, std::string_view text) {
  sum.add(bytes_of(uint64_t{text.size()}));
  sum.add(std::as_bytes(std::span(text)));
}

// Bytes of the middle of [offset, offset + bytes).
void add_sample(Checksum& sum, const ByteSource& source, uint64_t offset, uint64_t bytes) {
  std::array<std::byte, 64> sample;
  const uint64_t count = std::min<uint64_t>(sample.size(), bytes);
  const std::span taken(sample.data(), static_cast<size_t>(count));
  source.read_at(offset + (bytes - count) / 2, taken);
  sum.add(taken);
}

}  // namespace

uint64_t fingerprint(const Model& model) {
  Checksum sum;
  add_text(sum, model.config().architecture);
  for (const GgufModel::Tensor& tensor : model.file().tensors()) {
    add_text(sum, tensor.info->name);
    sum.add(bytes_of(tensor.info->type));
    for (const uint64_t n : tensor.info->ne) sum.add(bytes_of(n));
    sum.add(bytes_of(tensor.info->offset));
    add_sample(sum, *tensor.source, tensor.info->offset, tensor.info->bytes);
  }
  if (const File* experts = model.store().expert_file()) {
    constexpr uint64_t kSamples = 64;
    const uint64_t part = experts->size() / kSamples;
    sum.add(bytes_of(experts->size()));
    for (uint64_t i = 0; i < kSamples; ++i) add_sample(sum, *experts, i * part, part);
  }
  return sum.value();
}

uint64_t fingerprint(const Tokenizer& tokenizer) {
  Checksum sum;
  for (Token token = 0; token < tokenizer.size(); ++token) {
    add_text(sum, tokenizer.piece(token, true));
  }
  return sum.value();
}

}  // namespace st

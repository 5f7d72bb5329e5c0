#include "convert/gguf_copy.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/path.h"
#include "weights/bundle.h"

namespace st {

void copy_entries(const GgufFile& in, GgufWriter& out) {
  for (const GgufEntry& entry : in.entries()) {
    const bool of_input = entry.key.starts_with("split.") || entry.key == "general.alignment" ||
                          entry.key.starts_with(bundle::kPrefix);
    if (!of_input) out.set(entry.key, entry.value);
  }
}

void copy_bytes(const GgufModel::Tensor& tensor, std::string_view file,
                const std::function<void(std::span<const std::byte>)>& sink) {
  constexpr uint64_t kPiece = uint64_t{4} << 20;
  std::vector<std::byte> piece;
  for (uint64_t at = 0; at < tensor.info->bytes; at += piece.size()) {
    piece.resize(std::min(kPiece, tensor.info->bytes - at));
    with_context(fmt::format("{}: tensor '{}'", printable_path(file), printable(tensor.info->name)),
                 [&] { tensor.source->read_at(tensor.info->offset + at, piece); });
    sink(piece);
  }
}

bool is_expert_tensor(const GgufTensor& tensor) {
  return tensor.name.find("exps") != std::string::npos;
}

}  // namespace st

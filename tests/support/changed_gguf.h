// A GGUF file like another, but for a key or a tensor.
#pragma once

#include <string>
#include <vector>

#include "format/gguf_model.h"

namespace st::testkit {

struct GgufChange {
  std::string drop = {};                // a key
  std::vector<GgufEntry> entries = {};  // instead of those of the same key, or more
  std::string tensor = {};              // one more, of zeros
  std::string drop_tensor = {};
};

inline void write_changed(const std::string& source, const GgufChange& change,
                          const std::string& path) {
  const GgufModel model(source);
  GgufWriter out;
  for (const GgufEntry& entry : model.metadata().entries()) {
    if (entry.key != change.drop) out.set(entry.key, entry.value);
  }
  for (const GgufEntry& entry : change.entries) out.set(entry.key, entry.value);
  auto tensors = model.tensors();
  std::erase_if(tensors,
                [&](const auto& tensor) { return tensor.info->name == change.drop_tensor; });
  for (const auto& tensor : tensors) {
    out.add_tensor(tensor.info->name, tensor.info->type, tensor.info->ne);
  }
  if (!change.tensor.empty()) out.add_tensor(change.tensor, DType::kF32, {32});
  out.begin(path);
  for (const auto& tensor : tensors) {
    std::vector<std::byte> data(tensor.info->bytes);
    tensor.source->read_at(tensor.info->offset, data);
    out.write(data);
  }
  if (!change.tensor.empty()) out.write(std::vector<std::byte>(32 * sizeof(float)));
  out.finish();
}

}  // namespace st::testkit

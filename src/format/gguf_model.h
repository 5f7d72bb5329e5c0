// A model on disk: one GGUF file, or all parts of a split one, seen as a single directory.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "format/gguf.h"

namespace st {

// The names of all parts if `path` is named like one, NAME-00001-of-0000N.gguf; else `path` itself.
std::vector<std::string> gguf_part_names(const std::string& path);

class GgufModel {
 public:
  // Opens `path`; for NAME-00001-of-0000N.gguf also the other parts, from the same folder.
  // Errors carry the path of the part at fault.
  explicit GgufModel(const std::string& path, GgufTypes types = GgufTypes::kOurs);
  // A single part that is already in memory.
  explicit GgufModel(std::shared_ptr<const ByteSource> source);

  // Hyperparameters and vocabulary; they live in the first part.
  const GgufFile& metadata() const { return *parts_.front(); }

  const std::vector<std::unique_ptr<GgufFile>>& parts() const { return parts_; }

  struct Tensor {
    const GgufTensor* info = nullptr;
    const ByteSource* source = nullptr;
    explicit operator bool() const { return info != nullptr; }
  };
  Tensor find(std::string_view name) const;
  std::vector<Tensor> tensors() const;

  uint64_t file_bytes() const;

  // Throws Error(kIo) if a part was written to since it was opened: see ByteSource.
  void check_unchanged() const;

  // See GgufFile and File.
  void forget_entries();
  void expect_scattered_reads() const;

  // The name of part i, as it is shown; empty if it is in memory.
  std::string part_name(size_t i) const;

 private:
  void open_parts(const std::string& path, GgufTypes types);
  void open_others(const std::string& path, uint32_t count, GgufTypes types);
  void check_parts(const std::string& path) const;

  std::vector<std::unique_ptr<GgufFile>> parts_;
};

}  // namespace st

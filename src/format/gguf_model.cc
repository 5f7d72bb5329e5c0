#include "format/gguf_model.h"

#include <algorithm>
#include <charconv>
#include <unordered_set>

#include "base/error.h"

namespace st {
namespace {

constexpr uint32_t kMaxParts = 999;

std::unique_ptr<GgufFile> open_part(const std::string& path, GgufTypes types) {
  return with_context(printable_path(path), [&] {
    return std::make_unique<GgufFile>(std::make_shared<File>(path), types);
  });
}

std::string part_suffix(uint32_t number, uint32_t count) {
  return fmt::format("-{:05}-of-{:05}.gguf", number, count);
}

// "dir/m-00001-of-00003.gguf" -> "dir/m"; empty when `path` does not end like part 1 of `count`.
std::string split_prefix(const std::string& path, uint32_t count) {
  const std::string suffix = part_suffix(1, count);
  return path.ends_with(suffix) ? path.substr(0, path.size() - suffix.size()) : std::string();
}

}  // namespace

std::vector<std::string> gguf_part_names(const std::string& path) {
  const size_t length = part_suffix(1, 1).size();
  if (path.size() < length) return {path};
  uint32_t count = 0;
  const char* digits = path.data() + path.size() - std::string_view("00003.gguf").size();
  std::from_chars(digits, digits + 5, count);
  std::vector<std::string> names;
  for (uint32_t i = 1; i <= std::min(count, kMaxParts); ++i) {
    names.push_back(path.substr(0, path.size() - length) + part_suffix(i, count));
  }
  return std::ranges::count(names, path) > 0 ? names : std::vector{path};
}

GgufModel::GgufModel(const std::string& path, GgufTypes types) {
  open_parts(path, types);
  // Directories that were read whole, of parts that were there together.
  for (const auto& part : parts_) part->source().check_in_place();
}

void GgufModel::open_parts(const std::string& path, GgufTypes types) {
  parts_.push_back(open_part(path, types));
  const uint32_t count = with_context(
      printable_path(path), [&] { return metadata().find_u32("split.count").value_or(1); });
  if (count > 1) open_others(path, count, types);
  check_parts(path);
}

void GgufModel::open_others(const std::string& path, uint32_t count, GgufTypes types) {
  const std::string prefix = count <= kMaxParts ? split_prefix(path, count) : std::string();
  if (prefix.empty()) {
    fail(ErrorCode::kInvalidData, "{}: one of {} parts: open the one named *-00001-of-{:05}.gguf",
         printable_path(path), count, count);
  }
  for (uint32_t i = 2; i <= count; ++i) {
    const std::string part = prefix + part_suffix(i, count);
    try {
      parts_.push_back(open_part(part, types));
    } catch (const Error& e) {
      if (e.code() != ErrorCode::kNotFound) throw;
      fail(ErrorCode::kNotFound, "{}: split {} of {} missing: {}", printable_path(path), i, count,
           printable_path(part));
    }
  }
}

// What the parts say of themselves, where they do, must be true of these.
void GgufModel::check_parts(const std::string& path) const {
  std::unordered_set<std::string_view> names;
  for (const auto& part : parts_) {
    for (const GgufTensor& tensor : part->tensors()) {
      if (!names.insert(tensor.name).second) {
        fail(ErrorCode::kInvalidData, "{}: tensor '{}' is in two parts", printable_path(path),
             printable(tensor.name));
      }
    }
  }
  for (size_t i = 0; i < parts_.size(); ++i) {
    with_context(part_name(i), [&] {
      const auto check = [&](std::string_view key, uint64_t want) {
        const GgufValue* value = parts_[i]->find(key);
        if (value != nullptr && printable(*value) != std::to_string(want)) {
          fail(ErrorCode::kInvalidData, "key {} {}: want {}", key, printable(*value), want);
        }
      };
      check("split.no", i);
      check("split.count", parts_.size());
      check("split.tensors.count", names.size());
      if (i == 0) return;
      for (const GgufEntry& entry : parts_[i]->entries()) {
        if (entry.key.starts_with("split.") || entry.key.starts_with("general.")) continue;
        fail(ErrorCode::kInvalidData, "key {}: belongs into the first part", printable(entry.key));
      }
    });
  }
}

GgufModel::GgufModel(std::shared_ptr<const ByteSource> source) {
  parts_.push_back(std::make_unique<GgufFile>(std::move(source)));
}

GgufModel::Tensor GgufModel::find(std::string_view name) const {
  for (const auto& part : parts_) {
    if (const GgufTensor* info = part->find_tensor(name)) return {info, &part->source()};
  }
  return {};
}

std::vector<GgufModel::Tensor> GgufModel::tensors() const {
  std::vector<Tensor> all;
  for (const auto& part : parts_) {
    for (const GgufTensor& info : part->tensors()) all.push_back({&info, &part->source()});
  }
  return all;
}

uint64_t GgufModel::file_bytes() const {
  uint64_t bytes = 0;
  for (const auto& part : parts_) bytes += part->source().size();
  return bytes;
}

std::string GgufModel::part_name(size_t i) const {
  const auto* file = dynamic_cast<const File*>(&parts_[i]->source());
  return file == nullptr ? std::string() : printable_path(file->path());
}

void GgufModel::check_unchanged() const {
  for (const auto& part : parts_) part->source().check_unchanged();
}

void GgufModel::forget_entries() {
  for (const auto& part : parts_) part->forget_entries();
}

void GgufModel::expect_scattered_reads() const {
  for (const auto& part : parts_) {
    if (const auto* file = dynamic_cast<const File*>(&part->source())) {
      file->expect_scattered_reads();
    }
  }
}

}  // namespace st

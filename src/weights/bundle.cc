#include "weights/bundle.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "base/error.h"
#include "tensor/regroup.h"

namespace st {
namespace {

static_assert(std::endian::native == std::endian::little, "checksums are read as they are");

uint64_t pad(uint64_t bytes) {
  return (bytes + bundle::kAlignment - 1) / bundle::kAlignment * bundle::kAlignment;
}

uint64_t matrix_bytes(DType type, int64_t rows, int64_t cols) {
  const DTypeInfo& info = dtype_info(type);
  if (cols % info.block_values != 0) {
    fail(ErrorCode::kInvalidData, "rows of {} values are no whole blocks of {}", cols, info.name);
  }
  return static_cast<uint64_t>(rows) * row_bytes(info, static_cast<uint64_t>(cols));
}

const GgufArray& integers(const GgufFile& file, std::string_view key, int64_t count) {
  const GgufArray* array = file.find_integers(key);
  if (array == nullptr) fail(ErrorCode::kInvalidData, "key {}: missing", key);
  if (array->count != static_cast<uint64_t>(count)) {
    fail(ErrorCode::kInvalidData, "key {}: {} entries, want {}", key, array->count, count);
  }
  return *array;
}

DType type_at(const GgufArray& types, int64_t i) {
  const int64_t id = types.integer(static_cast<uint64_t>(i));
  const DTypeInfo* info =
      id >= 0 && id <= UINT32_MAX ? find_dtype(static_cast<uint32_t>(id)) : nullptr;
  if (info == nullptr) fail(ErrorCode::kUnsupported, "key {}: type {}", bundle::kTypesKey, id);
  return info->type;
}

DownLayout layout_at(const GgufArray& layouts, int64_t l) {
  const int64_t layout = layouts.integer(static_cast<uint64_t>(l));
  if (layout < 0 || layout > 2) {
    fail(ErrorCode::kUnsupported, "key {}: layout {}, want 0..2", bundle::kLayoutsKey, layout);
  }
  return static_cast<DownLayout>(layout);
}

// Version 1 had the quants of all other types as in GGUF.
bool alike_in_version_1(DType type) {
  return !is_split(type) || type == DType::kQ4_0 || type == DType::kQ8_0;
}

// A tensor of bytes of the given shape.
GgufModel::Tensor bytes_tensor(const WeightStore& store, const std::string& name, uint64_t n0,
                               uint64_t n1, uint64_t n2) {
  const GgufModel::Tensor tensor = store.model().find(name);
  if (!tensor) fail(ErrorCode::kInvalidData, "tensor '{}': missing", name);
  const GgufTensor& info = *tensor.info;
  if (info.type != DType::kI8 || info.dim(0) != n0 || info.dim(1) != n1 || info.dim(2) != n2 ||
      info.dim(3) != 1) {
    fail(ErrorCode::kInvalidData, "tensor '{}': {} [{}], want I8 [{},{},{}]", name,
         dtype_name(info.type), fmt::join(info.ne, ","), n0, n1, n2);
  }
  if (info.offset % bundle::kAlignment != 0) {
    fail(ErrorCode::kInvalidData, "tensor '{}': offset {} is not aligned to {}", name, info.offset,
         bundle::kAlignment);
  }
  return tensor;
}

// (layers, experts, parts)
std::vector<uint64_t> read_checksums(const WeightStore& store, int64_t layers, int64_t experts) {
  const GgufModel::Tensor tensor =
      bytes_tensor(store, std::string(bundle::kChecksums), kExpertParts * sizeof(uint64_t),
                   static_cast<uint64_t>(experts), static_cast<uint64_t>(layers));
  std::vector<uint64_t> checksums(tensor.info->bytes / sizeof(uint64_t));
  tensor.source->read_at(tensor.info->offset, std::as_writable_bytes(std::span(checksums)));
  return checksums;
}

Matrix shape_of(ExpertPart part, DType type, DownLayout layout, const ExpertDims& dims) {
  const bool outputs = part == ExpertPart::kDown && layout == DownLayout::kOutputs;
  return outputs ? Matrix{type, dims.hidden, dims.ffn, nullptr}
                 : Matrix{type, dims.ffn, dims.hidden, nullptr};
}

MatrixStack& part_of(ExpertLayer& layer, ExpertPart part) {
  return part == ExpertPart::kGate ? layer.gate : part == ExpertPart::kUp ? layer.up : layer.down;
}

}  // namespace

std::string bundle::experts_tensor(int64_t layer) { return fmt::format("blk.{}.exps", layer); }

bundle::Parts bundle::parts(const std::array<DType, kExpertParts>& types, DownLayout layout,
                            int64_t D, int64_t F) {
  Parts parts;
  for (const ExpertPart part : kEachPart) {
    const auto i = static_cast<size_t>(part);
    uint64_t bytes = 0;
    if (part == ExpertPart::kDown && layout == DownLayout::kRegrouped) {
      if (!can_regroup(types[i], D, F)) {
        fail(ErrorCode::kInvalidData, "down of {} ({}, {}) cannot be regrouped",
             dtype_name(types[i]), D, F);
      }
      bytes = neuron_rows_bytes(types[i], D, F);
    } else {
      const Matrix m = shape_of(part, types[i], layout, {.hidden = D, .ffn = F});
      bytes = matrix_bytes(m.type, m.rows, m.cols);
    }
    parts.at[i] = parts.step;
    parts.bytes[i] = pad(bytes);
    parts.step += parts.bytes[i];
  }
  return parts;
}

bool is_bundle(const GgufFile& file) { return file.find(bundle::kVersionKey) != nullptr; }

std::vector<ExpertLayer> load_bundle(WeightStore& store, std::span<const ExpertDims> dims) {
  const auto L = std::ssize(dims);
  const int64_t most = std::ranges::max_element(dims, {}, &ExpertDims::experts)->experts;
  const GgufFile& file = store.model().metadata();
  const uint32_t version = file.get_u32(bundle::kVersionKey);
  if (version == 0 || version > bundle::kVersion) {
    fail(ErrorCode::kUnsupported, "bundle version {}, want 1..{}: make it again with 'bundle'",
         version, bundle::kVersion);
  }
  const GgufArray& types =
      integers(file, bundle::kTypesKey, L * static_cast<int64_t>(kExpertParts));
  const GgufArray& layouts = integers(file, bundle::kLayoutsKey, L);
  file.find_string(bundle::kSourceKey);  // which says where the file is from, no more
  const std::vector<uint64_t> checksums = read_checksums(store, L, most);
  std::vector<ExpertLayer> layers;
  for (int64_t l = 0; l < L; ++l) {
    const ExpertDims& own = dims[static_cast<size_t>(l)];
    ExpertLayer& layer = layers.emplace_back();
    layer.layout = layout_at(layouts, l);
    const std::array<DType, kExpertParts> three = {type_at(types, 3 * l), type_at(types, 3 * l + 1),
                                                   type_at(types, 3 * l + 2)};
    for (const DType type : three) {
      if (version > 1 || alike_in_version_1(type)) continue;
      fail(ErrorCode::kUnsupported, "bundle version 1 of {} experts: make it again with 'bundle'",
           dtype_name(type));
    }
    const bundle::Parts parts = bundle::parts(three, layer.layout, own.hidden, own.ffn);
    const GgufModel::Tensor tensor = bytes_tensor(store, bundle::experts_tensor(l), parts.step,
                                                  static_cast<uint64_t>(own.experts), 1);
    for (const ExpertPart part : kEachPart) {
      const auto i = static_cast<size_t>(part);
      std::vector<uint64_t> sums;
      for (int64_t e = 0; e < own.experts; ++e) {
        sums.push_back(checksums[static_cast<size_t>(l * most + e) * kExpertParts + i]);
      }
      part_of(layer, part) = store.stack(
          fmt::format("layer {} {}", l, part_name(part)),
          {.prototype = shape_of(part, three[i], layer.layout, own),
           .count = own.experts,
           .step = parts.bytes[i],
           .file =
               {tensor.source, tensor.info->offset + parts.at[i], parts.step, parts.bytes[i], {}},
           .by_neuron = part == ExpertPart::kDown && layer.layout == DownLayout::kRegrouped},
          std::move(sums));
    }
  }
  return layers;
}

std::vector<ExpertLayer> load_headerless_bundle(WeightStore& store,
                                                std::span<const ExpertDims> all) {
  const ExpertDims& dims = all.front();
  const auto L = std::ssize(all);
  const File& file = *store.expert_file();
  return with_context(printable_path(file.path()), [&] {
    if (is_gguf(file)) {
      fail(ErrorCode::kInvalidData,
           "is a GGUF file, not a headerless bundle: a model with its experts, run it with -m");
    }
    const uint64_t bytes = matrix_bytes(DType::kQ4_0, dims.ffn, dims.hidden);
    const uint64_t step = pad(bytes);
    const auto matrices = static_cast<uint64_t>(L * dims.experts) * uint64_t{kExpertParts};
    if (file.size() != matrices * step) {
      fail(ErrorCode::kInvalidData, "{} bytes, want {} matrices of {} bytes, {} together",
           file.size(), matrices, step, matrices * step);
    }
    std::vector<ExpertLayer> layers;
    for (int64_t l = 0; l < L; ++l) {
      ExpertLayer& layer = layers.emplace_back();
      layer.layout = DownLayout::kNeurons;
      for (const ExpertPart part : kEachPart) {
        constexpr uint64_t kPlace[] = {1, 0, 2};  // gate, up, down
        const auto i = static_cast<size_t>(part);
        const uint64_t before = static_cast<uint64_t>(l * dims.experts) * kExpertParts + kPlace[i];
        part_of(layer, part) =
            store.stack(fmt::format("expert bundle, layer {} {}", l, part_name(part)),
                        {.prototype = {DType::kQ4_0, dims.ffn, dims.hidden, nullptr},
                         .count = dims.experts,
                         .step = bytes,
                         .file = {&file, before * step, kExpertParts * step, bytes, {}},
                         .arrangement = Arrangement::kSplit});
      }
    }
    return layers;
  });
}

}  // namespace st

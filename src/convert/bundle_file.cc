#include "convert/bundle_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "arch/architecture.h"
#include "arch/names.h"
#include "arch/understood.h"
#include "base/checksum.h"
#include "base/error.h"
#include "convert/gguf_out.h"
#include "weights/bundle.h"

namespace st {
namespace {

// Of whole files, one after the other.
uint64_t hash_of(const std::vector<const ByteSource*>& sources, const Progress& progress) {
  constexpr uint64_t kPiece = uint64_t{4} << 20;
  uint64_t all = 0, done = 0;
  for (const ByteSource* source : sources) all += source->size();
  Checksum sum;
  std::vector<std::byte> piece;
  for (const ByteSource* source : sources) {
    for (uint64_t at = 0; at < source->size(); at += piece.size()) {
      piece.resize(std::min(kPiece, source->size() - at));
      source->read_at(at, piece);
      sum.add(piece);
      done += piece.size();
      if (progress) progress("hash", done, all);
    }
  }
  return sum.value();
}

std::array<DType, kExpertParts> types_of(const ExpertLayer& layer) {
  return {layer.gate.prototype.type, layer.up.prototype.type, layer.down.prototype.type};
}

// Of tensors called experts', those that a bundle has.
void check_replaceable(const GgufTensor& tensor, const std::string& file) {
  const std::string_view name = tensor.name;
  const bool known =
      name == bundle::kChecksums || name.ends_with(".exps") ||
      std::ranges::any_of(
          std::array{names::kFfnGate, names::kFfnUp, names::kFfnDown},
          [&](auto part) { return name.ends_with(fmt::format(".{}.weight", part)); });
  if (known) return;
  fail(ErrorCode::kUnsupported, "{}: tensor '{}': no bundle has it, results would be wrong without",
       printable_path(file), printable(name));
}

class BundleWriter {
 public:
  explicit BundleWriter(const BundleOptions& options)
      : options_(options),
        name_(printable_path(options.input)),
        in_(options.input),
        architecture_(
            with_context(name_, [&]() -> auto& { return find_architecture(in_.metadata()); })),
        config_(with_context(name_, [&] { return architecture_.read_config(in_, {}, notices_); })),
        store_(in_, true, options.expert_bundle),
        experts_(with_context(
            name_, [&] { return architecture_.load(store_, config_)->weights().experts; })) {
    if (is_bundle(in_.metadata())) {
      fail(ErrorCode::kUnsupported, "{}: is a bundle already", name_);
    }
    with_context(name_, [&] {
      check_neutral_keys(in_.metadata(), config_);
      refuse_unread_tensors(in_);
    });
  }

  BundleResult write() {
    describe();
    for (const auto& tensor : in_.tensors()) {
      if (!is_expert_tensor(*tensor.info) && !names::is_dense_part(tensor.info->name)) {
        kept_.push_back(tensor);
      }
    }
    for (const auto& [info, source] : kept_) out_.add_tensor(info->name, info->type, info->ne);
    for (size_t l = 0; l < experts_.size(); ++l) {
      out_.add_tensor(bundle::experts_tensor(static_cast<int64_t>(l)), DType::kI8,
                      {parts_[l].step, static_cast<uint64_t>(experts_[l].gate.count)});
      result_.experts += static_cast<uint64_t>(experts_[l].gate.count);
      result_.expert_bytes += out_.tensors().back().bytes;
    }
    out_.add_tensor(std::string(bundle::kChecksums), DType::kI8,
                    {kExpertParts * sizeof(uint64_t), static_cast<uint64_t>(most_experts_),
                     static_cast<uint64_t>(config_.layers)});
    if (!config_.has_experts()) result_.units = "layers";
    result_.file_bytes = out_.file_size();

    out_.begin(options_.output);
    for (const auto& tensor : kept_) {
      copy_bytes(tensor, options_.input, [&](auto bytes) { put(bytes); });
    }
    for (size_t l = 0; l < experts_.size(); ++l) {
      for (int64_t e = 0; e < experts_[l].gate.count; ++e) write_expert(l, e);
      checksums_.resize((l + 1) * static_cast<size_t>(most_experts_) * kExpertParts);
    }
    put(std::as_bytes(std::span(checksums_)));
    store_.check_files();
    out_.finish();
    return result_;
  }

 private:
  void describe() {
    copy_entries(in_.metadata(), out_);
    std::vector<int32_t> types, layouts;
    for (size_t l = 0; l < experts_.size(); ++l) {
      const ExpertLayer& layer = experts_[l];
      for (const DType type : types_of(layer)) types.push_back(static_cast<int32_t>(type));
      layouts.push_back(static_cast<int32_t>(layer.layout));
      parts_.push_back(bundle::parts(types_of(layer), layer.layout, config_.hidden,
                                     config_.ffn(static_cast<int64_t>(l)).width));
    }
    std::vector<const ByteSource*> sources;
    for (const auto& part : in_.parts()) sources.push_back(&part->source());
    if (store_.expert_file() != nullptr) sources.push_back(store_.expert_file());
    const auto set = [&](std::string_view key, GgufValue value) {
      out_.set(std::string(key), std::move(value));
    };
    set(bundle::kVersionKey, GgufValue::u32(bundle::kVersion));
    set(bundle::kTypesKey, GgufValue::array(GgufArray::of(types)));
    set(bundle::kLayoutsKey, GgufValue::array(GgufArray::of(layouts)));
    const uint64_t hash = with_context(name_, [&] { return hash_of(sources, options_.progress); });
    set(bundle::kSourceKey, GgufValue::string(fmt::format("{:016x}", hash)));
  }

  void write_expert(size_t l, int64_t e) {
    for (const ExpertPart part : kEachPart) {
      const MatrixStack& stack = experts_[l][part];
      blocks_.resize(stack.file.bytes);
      with_context(fmt::format("{}: layer {} expert {}", name_, l, e), [&] {
        const uint64_t at = stack.file.offset + static_cast<uint64_t>(e) * stack.file.step;
        stack.file.source->read_at(at, blocks_);
      });
      arranged_.assign(parts_[l].bytes[static_cast<size_t>(part)], std::byte{});
      arrange(stack, blocks_.data(), arranged_.data());
      if (const auto error = bad_scale(stack, arranged_.data())) {
        throw error->within(fmt::format("{}: layer {} expert {} {}", name_, l, e, part_name(part)));
      }
      checksums_.push_back(checksum(arranged_));
      put(arranged_);
    }
  }

  void put(std::span<const std::byte> bytes) {
    out_.write(bytes);
    done_ += bytes.size();
    if (options_.progress) options_.progress("bundle", done_, result_.file_bytes);
  }

  const BundleOptions& options_;
  const std::string name_;  // of the input, for messages
  const GgufModel in_;
  const Architecture& architecture_;
  Notices notices_;
  const ModelConfig config_;
  WeightStore store_;
  const std::vector<ExpertLayer> experts_;
  const int64_t most_experts_ = config_.most_experts();  // of a layer
  GgufWriter out_{bundle::kAlignment};
  std::vector<GgufModel::Tensor> kept_;
  std::vector<bundle::Parts> parts_;  // (layers)
  std::vector<uint64_t>
      checksums_;  // (layers, most experts, parts); 0 where there is no such expert
  std::vector<std::byte> blocks_, arranged_;  // of one matrix
  uint64_t done_ = 0;
  BundleResult result_;
};

}  // namespace

BundleResult write_bundle(const BundleOptions& options) { return BundleWriter(options).write(); }

StripResult strip_file(const std::string& input, const std::string& output,
                       const Progress& progress) {
  const GgufModel in(input);
  GgufWriter out;
  StripResult result;
  copy_entries(in.metadata(), out);
  std::vector<GgufModel::Tensor> kept;
  for (const auto& tensor : in.tensors()) {
    if (is_expert_tensor(*tensor.info)) {
      check_replaceable(*tensor.info, input);
      ++result.dropped;
      result.dropped_bytes += tensor.info->bytes;
    } else {
      kept.push_back(tensor);
      out.add_tensor(tensor.info->name, tensor.info->type, tensor.info->ne);
    }
  }
  if (result.dropped == 0) {
    fail(ErrorCode::kInvalidData, "{}: has no expert tensors to drop", printable_path(input));
  }
  result.file_bytes = out.file_size();
  out.begin(output);
  uint64_t done = 0;
  for (const auto& tensor : kept) {
    copy_bytes(tensor, input, [&](std::span<const std::byte> bytes) {
      out.write(bytes);
      done += bytes.size();
      if (progress) progress("strip", done, result.file_bytes);
    });
  }
  in.check_unchanged();
  out.finish();
  return result;
}

}  // namespace st

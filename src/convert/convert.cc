#include "convert/convert.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "arch/names.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "convert/encode.h"
#include "convert/gguf_out.h"
#include "convert/hf_config.h"
#include "convert/hf_family.h"
#include "format/checkpoint.h"
#include "format/gguf.h"
#include "text/tokenizer.h"

namespace st {
namespace {

constexpr uint64_t kMaxConfigBytes = uint64_t{1} << 20;  // released ones have 2 kB

std::string in_folder(const std::string& folder, std::string_view name) {
  return fmt::format("{}/{}", folder, name);
}

std::vector<CheckpointTensor> read_predictor(const std::string& path) {
  if (path.empty()) return {};
  return with_context(printable_path(path), [&] {
    const auto file = std::make_shared<File>(path);
    std::vector<CheckpointTensor> tensors =
        path.ends_with(".safetensors") ? read_safetensors(file) : read_torch_pt(file);
    for (CheckpointTensor& tensor : tensors) tensor.file = path;
    return tensors;
  });
}

// A vocabulary that cannot work is better refused now than when the file is used.
Tokenizer read_tokenizer(const std::string& folder, int64_t vocab_size) {
  Vocab vocab = read_hf_vocab(folder, vocab_size);
  return with_context(printable(in_folder(folder, "tokenizer.json"), 4096),
                      [&] { return Tokenizer(std::move(vocab)); });
}

void check_folder(const std::string& folder) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(folder, ignored)) return;
  fail(ErrorCode::kInvalidData, "{}: is a file; give the folder that has config.json",
       printable_path(folder));
}

bool same_bytes(const CheckpointTensor& a, const CheckpointTensor& b) {
  if (a.type != b.type || a.shape != b.shape) return false;
  std::vector<std::byte> x(size_t{1} << 20);
  std::vector<std::byte> y(x.size());
  for (uint64_t done = 0; done < a.bytes; done += x.size()) {
    const auto n = static_cast<size_t>(std::min<uint64_t>(x.size(), a.bytes - done));
    a.source->read_at(a.offset + done, std::span(x).first(n));
    b.source->read_at(b.offset + done, std::span(y).first(n));
    if (!std::equal(x.begin(), x.begin() + static_cast<ptrdiff_t>(n), y.begin())) return false;
  }
  return true;
}

// The released 4B stores a copy of its tied head; dropping it saves 5 % of the file.
void note_tied_head(const std::vector<CheckpointTensor>& checkpoint, ConvertResult& result,
                    bool compare) {
  const auto head = std::ranges::find(checkpoint, "lm_head.weight", &CheckpointTensor::name);
  if (head == checkpoint.end()) return;
  std::string notice = "lm_head.weight left out: tie_word_embeddings is true";
  if (compare) {
    const auto embedding =
        std::ranges::find(result.tensors, names::kEmbedding, &PlannedTensor::name);
    notice = same_bytes(*head, embedding->sources.front())
                 ? "lm_head.weight left out: it is the embedding (tie_word_embeddings)"
                 : "lm_head.weight left out although it differs from the embedding, because "
                   "tie_word_embeddings is true";
  }
  result.notices.push_back(std::move(notice));
}

// The sink of a tensor whose values, F32, stay within a bound.
ByteSink clipped(float largest, const ByteSink& sink) {
  return [=, &sink](std::span<const std::byte> bytes) {
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    for (float& value : values) value = std::clamp(value, -largest, largest);
    sink(std::as_bytes(std::span(values)));
  };
}

void write_tensor(const PlannedTensor& tensor, ThreadPool& pool, const ByteSink& out) {
  const ByteSink sink = std::isfinite(tensor.largest) ? clipped(tensor.largest, out) : out;
  for (const CheckpointTensor& source : tensor.sources) {
    const std::string place =
        fmt::format("{}: tensor '{}'", printable_path(source.file), printable(source.name));
    with_context(place, [&] {
      const uint64_t cols = source.shape.empty() ? 1 : source.shape.back();
      const uint64_t rows = cols == 0 ? 0 : source.bytes / row_bytes(source.type, cols);
      encode_rows({*source.source, source.offset, source.type, rows, cols}, tensor.type,
                  tensor.transpose, pool, sink);
      if (tensor.first_row_again == 0) return;
      std::vector<std::byte> row;
      encode_rows(
          {*source.source, source.offset, source.type, 1, cols}, tensor.type, false, pool,
          [&](std::span<const std::byte> bytes) { row.assign(bytes.begin(), bytes.end()); });
      for (uint64_t i = 0; i < tensor.first_row_again; ++i) sink(row);
    });
  }
}

// Other engines refuse shapes and tensors that they do not know.
void check_options(const ConvertOptions& options, const HfFamily& family) {
  if (family.skips_neurons) return;
  if (options.transpose_down) {
    fail(ErrorCode::kUnsupported, "{} has no transposed layout", family.architecture);
  }
  if (!options.predictor.empty()) {
    fail(ErrorCode::kUnsupported, "{} has no lm-head predictor", family.architecture);
  }
}

}  // namespace

ConvertResult convert_hf(const ConvertOptions& options) {
  check_folder(options.folder);
  const std::string config_path = in_folder(options.folder, "config.json");
  const std::string config = read_text_file(config_path, kMaxConfigBytes);
  const HfConfig hf = with_context(printable_path(config_path), [&] {
    HfConfig parsed = parse_hf_config(config);
    check_options(options, *parsed.family);
    return parsed;
  });
  const std::vector<CheckpointTensor> checkpoint = read_safetensors_folder(options.folder);
  const std::vector<CheckpointTensor> predictor = read_predictor(options.predictor);

  ConvertResult result;
  result.notices = hf.notices;
  TensorPlan plan = with_context(printable_path(options.folder), [&] {
    return plan_tensors(
        hf, checkpoint,
        {.type = options.type, .transpose_down = options.transpose_down, .predictor = predictor});
  });
  result.tensors = std::move(plan.tensors);
  result.notices.insert(result.notices.end(), plan.notices.begin(), plan.notices.end());
  const Tokenizer tokenizer = read_tokenizer(options.folder, hf.model.vocab);
  if (hf.tied) note_tied_head(checkpoint, result, !options.dry_run);

  GgufWriter out;
  set_gguf_metadata(hf.model, options.type, options.transpose_down, out);
  for (const GgufEntry& entry : hf.keys) out.set(entry.key, entry.value);
  write_gguf_vocab(tokenizer.vocab(), out);
  for (const PlannedTensor& tensor : result.tensors) {
    out.add_tensor(tensor.name, tensor.type, tensor.ne);
    result.tensor_bytes += out.tensors().back().bytes;
  }
  result.file_bytes = out.file_size();
  if (options.dry_run) return result;

  ThreadPool pool(options.threads);
  if (!pool.notice().empty()) result.notices.push_back(pool.notice());
  out.begin(options.outfile);
  uint64_t done = 0;
  const ByteSink sink = [&](std::span<const std::byte> bytes) {
    out.write(bytes);
    done += bytes.size();
    if (options.progress) options.progress("convert", done, result.tensor_bytes);
  };
  const auto check_sources = [&] {
    for (const auto* part : {&checkpoint, &predictor}) {
      for (const CheckpointTensor& tensor : *part) tensor.source->check_in_place();
    }
  };
  try {
    for (const PlannedTensor& tensor : result.tensors) write_tensor(tensor, pool, sink);
  } catch (const Error&) {
    check_sources();  // what is wrong may be that somebody wrote it just now
    throw;
  }
  check_sources();
  out.finish();
  return result;
}

}  // namespace st

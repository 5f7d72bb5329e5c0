#include "cli/model_args.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "cli/converted.h"
#include "cli/reference_env.h"
#include "cli/report.h"
#include "cli/streams.h"
#include "format/gguf_model.h"

namespace st {
namespace {

// All that may be read of what the command line names.
std::vector<std::string> files_of(const std::string& path) {
  std::error_code ignored;  // what cannot be listed cannot be read
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(path, ignored)) {
    files.push_back(entry.path().string());
  }
  return files.empty() ? gguf_part_names(path) : files;
}

// "4 of 32 experts of 768" for each kind of layer there is.
std::string describe_ffn(const ModelConfig& c) {
  std::vector<std::string> kinds;
  for (const LayerConfig& layer : c.layer) {
    const Ffn& ffn = layer.ffn;
    const std::string kind =
        ffn.routed ? fmt::format("{} of {} experts of {}", ffn.used, ffn.experts, ffn.width)
                   : fmt::format("dense of {}", ffn.width);
    if (std::ranges::find(kinds, kind) == kinds.end()) kinds.push_back(kind);
  }
  return fmt::format("{}", fmt::join(kinds, " or "));
}

}  // namespace

void check_outputs(const std::vector<std::string>& outputs,
                   const std::vector<std::string>& inputs) {
  std::vector<std::string> files;
  for (const std::string& input : inputs) {
    for (std::string& file : files_of(input)) files.push_back(std::move(file));
  }
  refuse_overwriting(outputs, files);
}

void check_model_outputs(const ModelArgs& args, std::vector<std::string> inputs,
                         std::vector<std::string> outputs) {
  inputs.insert(inputs.begin(), {args.model, args.expert_bundle});
  outputs.insert(outputs.end(), {args.record_routing, args.hot_set});
  check_outputs(outputs, inputs);
}

Tokenizer load_tokenizer(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
    Vocab vocab = read_hf_vocab(path, 0);
    return with_context(printable_path(path + "/tokenizer.json"),
                        [&] { return Tokenizer(std::move(vocab)); });
  }
  const GgufModel file(path);
  return with_context(printable_path(path),
                      [&] { return Tokenizer(read_gguf_vocab(file.metadata())); });
}

void refuse_folder(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
    if (!is_hf_folder(path)) {
      fail(ErrorCode::kInvalidData, "{}: is a folder, but not of a model: it has no config.json",
           printable_path(path));
    }
    fail(ErrorCode::kInvalidData,
         "{}: is a folder; convert it first: smallthinker convert {} --outfile model.gguf",
         printable_path(path), printable_path(path));
  }
}

void check_model_file(const std::string& path) {
  refuse_folder(path);
  GgufModel{path};
}

namespace {

// use(model, options), the arguments of an engine; errors carry the path.
template <typename Use>
auto with_model(const ModelArgs& args, bool tell, TextTokens* text, Use use) {
  refuse_folder(args.model);
  EngineOptions options{.threads = args.threads,
                        .context = args.context,
                        .micro_batch = args.micro_batch,
                        .cache_type = args.cache_type,
                        .head = {.mode = args.lm_head.value_or(LmHead::kSparse),
                                 .threshold = args.lm_head_threshold,
                                 .floor = args.lm_head_floor},
                        .kernels = args.kernels,
                        .memory = args.cached_matrices ? UINT64_MAX : args.memory,
                        .hot_set = args.hot_set,
                        .progress = make_progress_bar(args.progress)};
  if (text != nullptr) options.encode = [text](const TextRoom& room) { return text->encode(room); };
  if (tell) {
    options.note = [&](std::string_view note) {
      print_err("note: {}: {}\n", printable_path(args.model), note);
    };
  }
  try {
    const ModelOptions opened{
        .gating = args.gating, .expert_bundle = args.expert_bundle, .stream = options.memory > 0};
    return use(std::make_shared<const Model>(args.model, opened), std::move(options));
  } catch (const Error& e) {
    // Paths of parts are in the message already; usage errors are not about the file.
    std::vector<std::string> files = gguf_part_names(args.model);
    if (text != nullptr) files.push_back(text->source());
    const bool named = std::ranges::any_of(files, [&](const std::string& file) {
      return std::string_view(e.what()).starts_with(printable_path(file) + ": ");
    });
    if (named || e.code() == ErrorCode::kInvalidUsage || e.code() == ErrorCode::kCancelled) throw;
    throw e.within(printable_path(args.model));
  }
}

}  // namespace

void check_engine(const ModelArgs& args, TextTokens* text) {
  with_model(args, false, text, [](std::shared_ptr<const Model> model, EngineOptions options) {
    Engine::check(std::move(model), std::move(options));
  });
}

Engine load_engine(const ModelArgs& args, bool tell, TextTokens* text,
                   std::function<uint64_t(const Model&)> beside, bool behind) {
  constexpr uint64_t kLarge = uint64_t{64} << 20;  // less is read before anybody has noticed
  Engine engine =
      with_model(args, tell, text, [&](std::shared_ptr<const Model> model, EngineOptions options) {
        options.beside = std::move(beside);
        if (behind && model->store().bytes() > kLarge) options.behind = WeightLoader::kThreads;
        return Engine(std::move(model), std::move(options));
      });
  const bool predicts = args.lm_head == LmHead::kSparse || args.lm_head == LmHead::kCheck;
  if (predicts && !engine.model().has_predictor()) {
    fail(ErrorCode::kInvalidData,
         "{}: has no lm-head predictor; convert with --lm-head-predictor, or use --lm-head dense",
         printable_path(args.model));
  }
  if (args.cached_matrices) keep_to_matrices(engine, *args.cached_matrices, tell);
  if (!tell) return engine;
  for (const std::string& notice : engine.notices()) print_err("note: {}\n", notice);
  if (args.verbose) {
    const ModelConfig& c = engine.config();
    print_err("model: {} {}: {} layers, hidden {}, {}/{} heads of {}, {}, vocabulary {}\n",
              c.architecture, printable(c.name), c.layers, c.hidden, c.heads, c.kv_heads,
              c.head_dim, describe_ffn(c), c.vocab);
    std::string ignored;
    for (const std::string& key : engine.model().ignored_keys()) ignored += " " + printable(key);
    if (!ignored.empty()) print_err("keys without effect:{}\n", ignored);
    print_err("run: {} kernels, {} threads, context {}, {}, cache up to {}\n", engine.kernels(),
              engine.threads(), engine.context(), describe_weights(engine.model().store()),
              format_bytes(engine.full_cache_bytes()));
  }
  return engine;
}

RoutingShape routing_shape(const Engine& engine) {
  const ModelConfig& c = engine.config();
  if (!c.all_route_alike()) {
    fail(ErrorCode::kUnsupported,
         "--record-routing: wants a model whose layers all have the same experts");
  }
  RoutingShape shape{.layers = c.layers, .experts = c.most_experts(), .used = c.most_used()};
  for (const ExpertLayer& layer :
       engine.model().weights().experts) {  // slots are as large as the largest needs
    shape.gate_bytes = std::max(shape.gate_bytes, layer.gate.file.bytes);
    shape.up_down_bytes =
        std::max(shape.up_down_bytes, layer.up.file.bytes + layer.down.file.bytes);
  }
  return shape;
}

void RoutingRecording::attach(Engine& engine) {
  if (path_.empty()) return;
  if (!recorder_) recorder_.emplace(path_, routing_shape(engine));
  engine.observe_routing(
      [this](int64_t layer, std::span<const int32_t> chosen) { recorder_->record(layer, chosen); });
}

void RoutingRecording::finish() {
  if (recorder_) recorder_->finish();
}

}  // namespace st

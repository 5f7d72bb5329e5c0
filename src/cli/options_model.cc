#include <fmt/format.h>

#include "cli/options_parts.h"

namespace st {
namespace {

std::string read_gating(const std::string& text, ModelArgs& args) {
  if (text == "softmax") {
    args.gating = Gating::kSoftmax;
  } else if (text == "sigmoid") {
    args.gating = Gating::kSigmoid;
  } else if (text == "auto") {
    args.gating.reset();
  } else {
    return "want auto, softmax or sigmoid";
  }
  return {};
}

std::string read_lm_head(const std::string& text, ModelArgs& args) {
  if (text == "auto") {
    args.lm_head.reset();
  } else if (text == "sparse") {
    args.lm_head = LmHead::kSparse;
  } else if (text == "dense") {
    args.lm_head = LmHead::kDense;
  } else if (text == "check") {
    args.lm_head = LmHead::kCheck;
  } else {
    return "want auto, sparse, dense or check";
  }
  return {};
}

std::string read_cache_type(const std::string& text, ModelArgs& args) {
  const auto type = parse_kv_type(text);
  if (!type) return "want f32, i16 or i8";
  if (args.cache_type && args.cache_type != type) {
    return fmt::format("keys and values have one type, and {} was asked for",
                       kv_type_name(*args.cache_type));
  }
  args.cache_type = type;
  return {};
}

}  // namespace

void add_memory(CLI::App& app, ModelArgs& args) {
  add_checked(app, "--memory",
              "budget of the whole process, such as 1GiB: experts beyond it stay in the file until "
              "they are needed",
              [&args](const std::string& text) { return read_size(text, args.memory); })
      ->type_name("SIZE");
}

void add_expert_bundle(CLI::App& app, ModelArgs& args) {
  app.add_option("--expert-bundle", args.expert_bundle,
                 "the reference engine's headerless bundle, with the experts of a stripped model")
      ->type_name("FILE");
}

void add_model_settings(CLI::App& app, ModelArgs& args) {
  app.add_option("-m,--model", args.model, "GGUF file (or $SMALLTHINKER_MODEL)")->type_name("FILE");
  // Two options of llama.cpp, one thing here.
  const auto read = [&args](const std::string& text) { return read_cache_type(text, args); };
  add_checked(app, "--cache-type-k,--cache-type",
              "-ctk, -ctv: how keys and values are kept: f32, i16 or i8, integers with a scale per "
              "head and position; f16 and q8_0 mean i16 and i8 (default: f32 for F32 models, else "
              "i16)",
              read);
  add_checked(app, "--cache-type-v", "the same", read);
  add_checked(app, "--moe-gating", "auto, softmax or sigmoid: overrides the file",
              [&args](const std::string& text) { return read_gating(text, args); });
  app.add_option("--cpu", args.kernels,
                 "force a kernel set: avx512, avxvnni, avx2, i8mm, dotprod, neon, scalar (or "
                 "$SMALLTHINKER_CPU)")
      ->type_name("NAME");
  add_memory(app, args);
  app.add_option("--hot-set", args.hot_set,
                 "with --memory: file that remembers between runs which experts are used most")
      ->type_name("FILE");
  add_expert_bundle(app, args);
  app.add_flag("--reference-env", args.reference_env,
               "obey EXPERT_BUNDLE_PATH, GENERATE_EXPERT_BUNDLE and MAX_N_CACHED, the reference "
               "engine's environment variables");
  app.add_flag("-v,--verbose", args.verbose, "tell more on standard error");
  app.add_flag("!--no-progress", args.progress, "no progress bars");
}

void add_lm_head(CLI::App& app, ModelArgs& args) {
  args.lm_head.reset();
  add_checked(app, "--lm-head",
              "auto: sparse if the model has a predictor of the rows that matter; sparse, dense; "
              "check: dense, and tell how often sparse agrees",
              [&args](const std::string& text) { return read_lm_head(text, args); });
  add_decimal(app, "--lm-head-threshold", "sparse: compute rows that are predicted to score more",
              -1e6, 1e6, args.lm_head_threshold);
  add_whole(app, "--lm-head-floor", "sparse: compute at least so many rows", 1, 1 << 27,
            args.lm_head_floor);
}

void add_record_routing(CLI::App& app, ModelArgs& args) {
  app.add_option("--record-routing", args.record_routing,
                 "write which experts each token chose, for cache-sim")
      ->type_name("FILE");
}

void add_model(CLI::App& app, ModelArgs& args) {
  add_model_settings(app, args);
  add_threads(app, "-t,--threads", args.threads);
  add_whole(app, "-c,--ctx-size", "context in tokens; 0: as many as the model was trained for", 0,
            1 << 27, args.context);
  add_whole(app, "-b,--batch-size", "prompt tokens per step, at most -ub at once", 1, 1 << 20,
            args.batch);
  add_whole(app, "--ubatch-size", "-ub: tokens per forward pass", 1, 1 << 20, args.micro_batch);
}

}  // namespace st

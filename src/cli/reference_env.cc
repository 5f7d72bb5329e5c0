#include "cli/reference_env.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>

#include "base/error.h"
#include "cli/streams.h"
#include "store/bundle.h"

namespace st {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

template <typename... Args>
void note(bool tell, fmt::format_string<Args...> format, Args&&... args) {
  if (tell) {
    print_err("note: {}\n", fmt::format(format, std::forward<Args>(args)...));
  }
}

}  // namespace

ModelArgs with_reference_bundle(ModelArgs args, bool tell) {
  const std::string path = environment("EXPERT_BUNDLE_PATH");
  if (path.empty() || !args.expert_bundle.empty()) return args;
  if (with_context(printable(path), [&] { return is_gguf(File(path)); })) {
    note(tell, "EXPERT_BUNDLE_PATH is a whole model: -m {}", printable(path));
    args.model = path;
  } else {
    note(tell, "EXPERT_BUNDLE_PATH is --expert-bundle {}", printable(path));
    args.expert_bundle = path;
  }
  return args;
}

std::optional<int64_t> reference_cached_matrices(const ModelArgs& args, bool tell) {
  const std::string text = environment("MAX_N_CACHED");
  if (text.empty()) return std::nullopt;
  if (args.memory > 0) {
    note(tell, "MAX_N_CACHED={} has no effect beside --memory", printable(text));
    return std::nullopt;
  }
  int64_t matrices = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), matrices);
  if (error != std::errc() || end != text.data() + text.size() || matrices < 1) {
    fail(ErrorCode::kInvalidUsage, "MAX_N_CACHED={}: want a number of matrices", printable(text));
  }
  return matrices;
}

void keep_to_matrices(Engine& engine, int64_t matrices, bool tell) {
  const MemoryPlan plan = engine.memory()->plan;
  const int64_t experts = std::min(matrices / static_cast<int64_t>(kExpertParts), plan.experts);
  const uint64_t budget = plan.holding(experts);
  engine.set_memory(budget);
  note(tell, "MAX_N_CACHED={} is a budget of {} MiB here: {} of {} experts, and all else", matrices,
       budget >> 20, experts, plan.experts);
}

std::optional<BundleArgs> reference_bundle_to_generate(const ModelArgs& args) {
  const std::string path = environment("GENERATE_EXPERT_BUNDLE");
  if (path.empty()) return std::nullopt;
  note(true, "GENERATE_EXPERT_BUNDLE is: smallthinker bundle {} -o {}", printable(args.model),
       printable(path));
  return BundleArgs{
      {.input = args.model, .output = path, .expert_bundle = args.expert_bundle, .progress = {}},
      args.progress};
}

}  // namespace st

#include "cli/reference_env.h"

#include <charconv>
#include <cstdlib>
#include <variant>

#include "base/error.h"
#include "cli/streams.h"
#include "weights/bundle.h"

namespace st {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

void use_bundle(ModelArgs& args, std::vector<std::string>& notes) {
  const std::string path = environment("EXPERT_BUNDLE_PATH");
  if (path.empty() || !args.expert_bundle.empty()) return;
  const std::string shown = printable_path(path);
  if (with_context(shown, [&] { return is_gguf(File(path)); })) {
    notes.push_back("EXPERT_BUNDLE_PATH is a whole model: -m " + shown);
    args.model = path;
  } else {
    notes.push_back("EXPERT_BUNDLE_PATH is --expert-bundle " + shown);
    args.expert_bundle = path;
  }
}

void use_matrices(ModelArgs& args, std::vector<std::string>& notes) {
  const std::string text = environment("MAX_N_CACHED");
  if (text.empty()) return;
  if (args.memory > 0) {
    notes.push_back(fmt::format("MAX_N_CACHED={} has no effect beside --memory", printable(text)));
    return;
  }
  int64_t matrices = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), matrices);
  if (error != std::errc() || end != text.data() + text.size() || matrices < 1) {
    fail(ErrorCode::kInvalidUsage, "MAX_N_CACHED={}: want a number of matrices", printable(text));
  }
  args.cached_matrices = matrices;
}

}  // namespace

Command with_reference_env(Command command, std::vector<std::string>& notes) {
  std::visit(
      [&](auto& args) {
        if constexpr (requires { args.model.reference_env; }) {
          if (!args.model.reference_env) return;
          use_bundle(args.model, notes);
          use_matrices(args.model, notes);
        }
      },
      command);
  const auto* run = std::get_if<RunArgs>(&command);
  if (run == nullptr || !run->model.reference_env) return command;
  const std::string path = environment("GENERATE_EXPERT_BUNDLE");
  if (path.empty()) return command;
  const ModelArgs& model = run->model;
  notes.push_back(fmt::format("GENERATE_EXPERT_BUNDLE is: smallthinker bundle {} -o {}",
                              printable_path(model.model), printable_path(path)));
  return BundleArgs{
      {.input = model.model, .output = path, .expert_bundle = model.expert_bundle, .progress = {}},
      model.progress};
}

void keep_to_matrices(Engine& engine, int64_t matrices, bool tell) {
  const MemoryPlan plan = engine.memory()->plan;
  const int64_t experts = std::min(matrices / static_cast<int64_t>(kExpertParts), plan.experts);
  const uint64_t budget = plan.holding(experts);
  engine.set_memory(budget);
  if (!tell) return;
  print_err("note: MAX_N_CACHED={} is a budget of {} MiB here: {} of {} {}, and all else\n",
            matrices, budget >> 20, experts, plan.experts, plan.units);
}

}  // namespace st

#include "cli/reference_env.h"

#include <fmt/format.h>

#include <cstdlib>

#include "base/error.h"

namespace st {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

}  // namespace

std::string reference_expert_bundle(bool tell) {
  const std::string path = environment("EXPERT_BUNDLE_PATH");
  if (!tell) return path;
  if (!path.empty()) {
    fmt::print(stderr, "note: EXPERT_BUNDLE_PATH is --expert-bundle {}\n", printable(path));
  }
  if (const std::string limit = environment("MAX_N_CACHED"); !limit.empty()) {
    fmt::print(stderr,
               "note: MAX_N_CACHED={} has no effect: --memory SIZE limits the whole process\n",
               printable(limit));
  }
  return path;
}

std::optional<BundleArgs> reference_bundle_to_generate(const ModelArgs& args) {
  const std::string path = environment("GENERATE_EXPERT_BUNDLE");
  if (path.empty()) return std::nullopt;
  fmt::print(stderr,
             "note: GENERATE_EXPERT_BUNDLE is: smallthinker bundle {} -o {} (a whole model: run it "
             "with -m)\n",
             printable(args.model), printable(path));
  return BundleArgs{
      {.input = args.model, .output = path, .expert_bundle = args.expert_bundle, .progress = {}},
      args.progress};
}

}  // namespace st

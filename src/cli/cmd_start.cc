// What `smallthinker` alone says.
#include "cli/cmd_start.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "cli/args.h"
#include "cli/report.h"
#include "cli/streams.h"
#include "hub/store.h"

namespace st {
namespace {

struct Found {
  std::string name;  // for -m
  uint64_t bytes = 0;
};

// GGUF files of the current folder, then the models by name.
std::vector<Found> models_here() {
  namespace fs = std::filesystem;
  std::vector<HubFile> files;
  std::error_code error;
  for (auto entry = fs::directory_iterator(".", error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    std::error_code unknown;
    const uint64_t size = entry->file_size(unknown);
    if (!unknown) files.push_back({entry->path().filename().string(), size, ""});
  }
  std::vector<Found> found;
  for (const ModelFiles& model : find_models(files)) {
    if (!model.is_checkpoint()) found.push_back({model.path(), model.bytes});
  }
  for (const StoredModel& model : ModelStore::of_environment().list()) {
    if (model.whole) found.push_back({model.name.text(), model.files.bytes});
  }
  return found;
}

constexpr std::string_view kCommand = "chat";  // that takes one

std::string describe(const std::vector<Found>& models) {
  if (models.empty()) {
    return fmt::format(
        "No model is here yet. This downloads a small one, 0.4 GB, and starts:\n"
        "  smallthinker {} -m {}\n"
        "A GGUF file that you have:\n"
        "  smallthinker {} -m FILE.gguf\n",
        kCommand, kExampleModel, kCommand);
  }
  constexpr size_t kShown = 20;
  size_t width = 0;
  for (const Found& model : models) width = std::max(width, model.name.size());
  std::string text = "Models that are here:\n";
  for (const Found& model : std::span(models).first(std::min(models.size(), kShown))) {
    text += fmt::format("  {:<{}}  {:>9}\n", printable_path(model.name), width,
                        format_bytes(model.bytes));
  }
  if (models.size() > kShown) text += "  and more: smallthinker ls\n";
  text += fmt::format(
      "To use one:\n  smallthinker {} -m {}\nTo get another:\n  smallthinker pull OWNER/REPO\n",
      kCommand, printable_path(models.front().name));
  return text;
}

}  // namespace

std::string describe_models() {
  return describe(models_here()) + "All commands:\n  smallthinker help";
}

int execute(const StartArgs&) {
  print_out("{}\n", describe_models());
  return kExitOk;
}

}  // namespace st

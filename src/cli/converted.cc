#include "cli/converted.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/user_folders.h"
#include "cli/report.h"
#include "cli/streams.h"
#include "convert/convert.h"
#include "convert/hf_config.h"
#include "convert/hf_family.h"

namespace st {
namespace {

namespace fs = std::filesystem;

// Another one makes files that were converted before be converted again.
constexpr int kVersion = 1;

constexpr const char* kPlace = "converted";  // in what can be made again

std::string hash_of(std::string_view text) {
  return fmt::format("{:016x}", checksum(std::as_bytes(std::span(text))));
}

// Which files are in a folder and when they were written, as a text.
std::string state_of(const std::string& folder) {
  std::vector<std::string> lines{fmt::format("{}", kVersion)};
  for (const auto& entry : fs::directory_iterator(folder)) {
    struct stat info{};
    if (::stat(entry.path().c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    lines.push_back(fmt::format("{} {} {}.{}", entry.path().filename().string(), info.st_size,
                                info.st_mtim.tv_sec, info.st_mtim.tv_nsec));
  }
  std::ranges::sort(lines);
  return fmt::format("{}", fmt::join(lines, "\n"));
}

// What the names of all files begin with that a folder was ever converted to.
std::string prefix_of(const fs::path& source) {
  return source.filename().string() + "-" + hash_of(source.string()) + "-";
}

void remove_others(const fs::path& file, const std::string& prefix) {
  for (const auto& entry : fs::directory_iterator(file.parent_path())) {
    const std::string name = entry.path().filename().string();
    std::error_code stays;
    if (name.starts_with(prefix) && name.ends_with(".gguf") && entry.path() != file) {
      fs::remove(entry.path(), stays);
    }
  }
}

}  // namespace

bool is_hf_folder(const std::string& path) {
  return ::access((path + "/config.json").c_str(), F_OK) == 0;
}

std::string converted_model(const std::string& folder, bool progress) {
  const fs::path place = fs::path(make_user_folder(UserFolder::kCache)) / kPlace;
  ::mkdir(place.c_str(), 0700);  // converting tells of a failure
  const std::string prefix = prefix_of(fs::canonical(folder));
  const fs::path file = place / (prefix + hash_of(state_of(folder)) + ".gguf");
  if (fs::exists(file)) return file.string();
  print_err("note: {}: converted to Q8_0 this once, into {}\n", printable_path(folder),
            printable_path(file.string()));
  const std::string path = folder + "/config.json", text = read_text_file(path, 1 << 24);
  const HfConfig config = with_context(printable_path(path), [&] { return parse_hf_config(text); });
  convert_hf({.folder = folder,
              .outfile = file.string(),
              .type = DType::kQ8_0,
              .transpose_down = config.family->skips_neurons,
              .progress = make_progress_bar(progress)});
  remove_others(file, prefix);
  return file.string();
}

std::vector<ConvertedModel> converted_models() {
  std::vector<ConvertedModel> models;
  const std::string cache = user_folder(UserFolder::kCache);
  if (cache.empty()) return models;
  std::error_code error;
  for (auto entry = fs::directory_iterator(fs::path(cache) / kPlace, error);
       !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code unknown;
    const uint64_t bytes = entry->file_size(unknown);
    if (!unknown && entry->path().extension() == ".gguf") {
      models.push_back({entry->path().string(), bytes});
    }
  }
  std::ranges::sort(models, {}, &ConvertedModel::path);
  return models;
}

std::vector<ConvertedModel> converted_models_of(const std::string& path) {
  std::error_code error;
  fs::path source = fs::weakly_canonical(path, error);
  if (error) return {};
  if (!source.has_filename()) source = source.parent_path();  // of a folder that is gone: "gone/"
  std::vector<ConvertedModel> models = converted_models();
  std::erase_if(models, [&](const ConvertedModel& model) {
    const fs::path file(model.path);
    std::error_code other;
    return !file.filename().string().starts_with(prefix_of(source)) &&
           !fs::equivalent(file, source, other);
  });
  return models;
}

void remove_converted(const ConvertedModel& model) {
  std::error_code error;
  if (!fs::remove(model.path, error)) {
    fail(ErrorCode::kIo, "{}: cannot remove: {}", printable_path(model.path), error.message());
  }
}

}  // namespace st

#include "hub/store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/user_folders.h"
#include "hub/part_file.h"

namespace st {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kCachePrefix = "models--";

// What is in a folder, without an Error if it is not there or cannot be read.
template <typename Iterator, typename Take>
void walk(const std::string& folder, Take take) {
  std::error_code error;
  for (auto entry = Iterator(folder, error); !error && entry != Iterator();
       entry.increment(error)) {
    take(*entry);
  }
}

// Files of a repository's folder and those below. Links count in the cache, which is made of them.
std::vector<HubFile> files_in(const std::string& folder, bool links) {
  std::vector<HubFile> files;
  walk<fs::recursive_directory_iterator>(folder, [&](const fs::directory_entry& entry) {
    std::error_code error;
    const fs::file_status status = links ? entry.status(error) : entry.symlink_status(error);
    if (error || !fs::is_regular_file(status)) return;
    std::string path = entry.path().lexically_relative(folder).generic_string();
    const uint64_t size = entry.file_size(error);
    if (!error && is_safe_path(path)) files.push_back({std::move(path), size, ""});
  });
  std::ranges::sort(files, {}, &HubFile::path);
  return files;
}

// OWNER/REPO:TAG if that means this model, else OWNER/REPO:FILE.
ModelName name_of(const ModelName& repository, const ModelFiles& model,
                  std::span<const ModelFiles> all) {
  ModelName name = repository;
  name.choice = choose_model(all, model.tag) == &model ? model.tag : model.path();
  return name;
}

void add_models(const ModelName& repository, const std::string& folder, bool ours,
                std::vector<StoredModel>& models) {
  const std::vector<HubFile> files = files_in(folder, !ours);
  const std::vector<ModelFiles> whole = find_models(files);
  for (const ModelFiles& model : whole) {
    const std::string path = model.is_checkpoint() ? folder : folder + "/" + model.path();
    models.push_back({name_of(repository, model, whole), model, path, ours, true});
  }
  for (const HubFile& file : files) {
    if (!ours || !file.path.ends_with(kPartSuffix)) continue;
    // NAME.DIGEST.part
    const std::string name = file.path.substr(0, file.path.size() - kPartSuffix.size());
    StoredModel part{repository,
                     {.tag = "", .files = {file}, .bytes = file.size},
                     folder + "/" + file.path,
                     true,
                     false};
    part.name.choice = name.substr(0, name.rfind('.'));
    models.push_back(std::move(part));
  }
}

// The newest snapshot of branch main in models--OWNER--REPO; empty if there is none.
std::string snapshot(const std::string& folder) {
  try {
    std::string commit = read_text_file(folder + "/refs/main", 128);
    commit.erase(commit.find_last_not_of(" \n") + 1);
    return is_safe_path(commit) ? folder + "/snapshots/" + commit : "";
  } catch (const Error&) {
    return {};
  }
}

void add_cached(const std::string& cache, std::vector<StoredModel>& models) {
  walk<fs::directory_iterator>(cache, [&](const fs::directory_entry& entry) {
    std::string text = entry.path().filename().string();
    const size_t between = text.find("--", kCachePrefix.size());
    if (!text.starts_with(kCachePrefix) || between == text.npos) return;
    text.replace(between, 2, "/");
    const auto name = parse_model_name(text.substr(kCachePrefix.size()));
    const std::string folder = snapshot(entry.path().string());
    if (name && !folder.empty()) add_models(*name, folder, false, models);
  });
}

// As a download locks what it writes.
bool is_locked(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return false;
  const bool locked = ::flock(fd, LOCK_EX | LOCK_NB) != 0;
  ::close(fd);
  return locked;
}

}  // namespace

ModelStore::ModelStore(std::string root, std::string cache)
    : root_(std::move(root)), cache_(std::move(cache)) {}

ModelStore ModelStore::of_environment() {
  const std::string ours = user_folder(UserFolder::kData);
  const std::string root = ours.empty() ? "" : ours + "/models";
  for (const auto& [variable, below] :
       {std::pair{"HF_HUB_CACHE", ""}, std::pair{"HF_HOME", "/hub"}}) {
    const char* value = std::getenv(variable);
    if (value != nullptr && *value != 0) return {root, std::string(value) + below};
  }
  const std::string cache = user_folder(UserFolder::kCache);
  return {root, cache.empty() ? "" : fs::path(cache).parent_path() / "huggingface/hub"};
}

std::vector<StoredModel> ModelStore::list() const {
  std::vector<StoredModel> models;
  walk<fs::directory_iterator>(root_, [&](const fs::directory_entry& owner) {
    if (owner.is_symlink()) return;
    walk<fs::directory_iterator>(owner.path().string(), [&](const fs::directory_entry& repository) {
      const auto name = parse_model_name(owner.path().filename().string() + "/" +
                                         repository.path().filename().string());
      if (!name || repository.is_symlink()) return;
      add_models(*name, repository.path().string(), true, models);
    });
  });
  std::ranges::stable_sort(models, {}, [](const StoredModel& model) { return model.name.text(); });
  std::vector<StoredModel> cached;
  if (!cache_.empty()) add_cached(cache_, cached);
  std::ranges::stable_sort(cached, {}, [](const StoredModel& model) { return model.name.text(); });
  models.insert(models.end(), std::make_move_iterator(cached.begin()),
                std::make_move_iterator(cached.end()));
  return models;
}

std::optional<StoredModel> ModelStore::find(const ModelName& name) const {
  const std::vector<StoredModel> all = list();
  for (const bool ours : {true, false}) {
    std::vector<const StoredModel*> stored;
    std::vector<ModelFiles> models;
    for (const StoredModel& model : all) {
      if (!model.whole || model.ours != ours) continue;
      if (model.name.repository() != name.repository()) continue;
      stored.push_back(&model);
      models.push_back(model.files);
    }
    if (const ModelFiles* chosen = choose_model(models, name.choice)) {
      return *stored[static_cast<size_t>(chosen - models.data())];
    }
  }
  return std::nullopt;
}

Folder ModelStore::make_folder(const ModelName& name) const {
  return Folder::make(root_).make_child(name.owner).make_child(name.repo);
}

void ModelStore::remove(const StoredModel& model) const {
  const std::string repository = root_ + "/" + model.name.repository();
  for (const HubFile& file : model.files.files) {
    const std::string path = repository + "/" + file.path;
    if (!model.whole && is_locked(path)) {
      fail(ErrorCode::kIo, "{}: is being downloaded", printable_path(path));
    }
    std::error_code error;
    if (!fs::remove(path, error)) {
      fail(ErrorCode::kIo, "{}: cannot remove: {}", printable_path(path), error.message());
    }
    // Folders that are not empty stay.
    for (fs::path folder = fs::path(path).parent_path(); folder != fs::path(root_);
         folder = folder.parent_path()) {
      if (!fs::remove(folder, error)) break;
    }
  }
}

}  // namespace st

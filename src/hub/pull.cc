#include "hub/pull.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace st {
namespace {

constexpr uint64_t kReserve = uint64_t{64} << 20;  // of the disk, for everybody else

const ModelFiles& chosen_model(std::span<const ModelFiles> models, const ModelName& name) {
  if (const ModelFiles* model = choose_model(models, name.choice)) return *model;
  if (models.empty()) {
    fail(ErrorCode::kNotFound, "has no GGUF file and no checkpoint in safetensors");
  }
  std::vector<std::string> tags;
  for (const ModelFiles& model : models) tags.push_back(printable(model.tag));
  std::ranges::sort(tags);
  tags.erase(std::unique(tags.begin(), tags.end()), tags.end());
  fail(ErrorCode::kNotFound, "has no '{}'; it has {}", printable(name.choice),
       fmt::join(tags, ", "));
}

// The files of a model on their way to its folder.
class Pull {
 public:
  Pull(const ModelStore& store, const ModelName& name, const HubOptions& options)
      : store_(store), name_(name), options_(options), hub_(options) {}

  PullResult run() {
    const HubListing listing = hub_.list(name_);
    const std::vector<ModelFiles> models = find_models(listing.files);
    const ModelFiles& model = chosen_model(models, name_);
    const Folder folder = store_.make_folder(name_);
    total_ = model.bytes;
    check_room(folder, model);
    for (const HubFile& file : model.files) {
      with_context(printable(file.path), [&] { bring(folder, file.path, file, listing.commit); });
      before_ += file.size;
    }
    ModelName exact = name_;
    exact.choice = model.is_checkpoint() ? model.tag : model.path();
    const auto stored = store_.find(exact);
    if (!stored) fail(ErrorCode::kIo, "was removed while it was downloaded");
    return {*stored, downloaded_};
  }

 private:
  // What is there of a file counts by its size; the checksum comes later.
  void check_room(const Folder& folder, const ModelFiles& model) const {
    uint64_t missing = 0;
    for (const HubFile& file : model.files) {
      const uint64_t there = bytes_there(folder, file);
      missing += file.size - std::min(there, file.size);
    }
    const uint64_t free = folder.free_bytes();
    if (missing == 0 || (free > kReserve && missing <= free - kReserve)) return;
    fail(ErrorCode::kIo, "{} bytes are to be downloaded, and the disk of {} has room for {}",
         missing, printable_path(folder.path()), free > kReserve ? free - kReserve : 0);
  }

  static uint64_t bytes_there(const Folder& folder, const HubFile& file) {
    const auto whole = folder.status(file.path);
    if (whole && static_cast<uint64_t>(whole->st_size) == file.size) return file.size;
    const auto part = folder.status(part_name(file.path, file));
    return part ? static_cast<uint64_t>(part->st_size) : 0;
  }

  // `path` of the file is below `folder`.
  void bring(const Folder& folder, std::string_view path, const HubFile& file,
             const std::string& commit) {
    const size_t slash = path.find('/');
    if (slash == path.npos) return bring_here(folder, std::string(path), file, commit);
    const Folder below = folder.make_child(std::string(path.substr(0, slash)));
    bring(below, path.substr(slash + 1), file, commit);
  }

  void bring_here(const Folder& folder, const std::string& name, const HubFile& file,
                  const std::string& commit) {
    if (has_bytes(folder, name, file, *options_.stop, options_.progress)) return;
    const PartFile::Waits waits{.told = [&] { tell("another process downloads it: waiting"); },
                                .progress = options_.progress,
                                .stop = options_.stop};
    std::optional<PartFile> part = PartFile::open(folder, name, file, waits);
    if (!part) return;
    const uint64_t had = part->size();
    hub_.fetch(name_, commit, file, *part, before_, total_);
    downloaded_ += file.size - had;
  }

  void tell(std::string_view note) const {
    if (options_.note) options_.note(note);
  }

  const ModelStore& store_;
  const ModelName& name_;
  const HubOptions& options_;
  Hub hub_;
  uint64_t total_ = 0, before_ = 0;  // bytes of all files, of those that are done
  uint64_t downloaded_ = 0;
};

}  // namespace

PullResult pull_model(const ModelStore& store, const ModelName& name, const HubOptions& options) {
  return with_context(name.repository(), [&] { return Pull(store, name, options).run(); });
}

}  // namespace st

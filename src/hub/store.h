// The models on this disk: those that were pulled, and those in the cache that Hugging Face's own
// tools and llama.cpp keep.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "hub/choose.h"
#include "hub/folder.h"
#include "hub/model_name.h"

namespace st {

struct StoredModel {
  ModelName name;  // finds exactly this one
  ModelFiles files;
  std::string path;   // to open: the first file, or the folder of a checkpoint
  bool ours = true;   // pulled; otherwise of Hugging Face's cache, which is never written
  bool whole = true;  // otherwise a download that can go on: files are what there is of it
};

class ModelStore {
 public:
  // ROOT/OWNER/REPO/FILE, and the snapshots of models--OWNER--REPO in the cache. Neither folder
  // need be there, or have a name.
  ModelStore(std::string root, std::string cache);
  // models in the user's folder of data; $HF_HUB_CACHE, or hub in $HF_HOME.
  static ModelStore of_environment();

  const std::string& root() const { return root_; }
  const std::string& cache() const { return cache_; }

  // By name; ours first.
  std::vector<StoredModel> list() const;
  // A whole one that is meant by the name.
  std::optional<StoredModel> find(const ModelName& name) const;
  // The folder for the files of a repository, made if it is not there; but what is above the root
  // is.
  Folder make_folder(const ModelName& name) const;
  // Removes the files of a model of ours, and folders that are empty then. Throws Error(kIo), also
  // of a download that is going on.
  void remove(const StoredModel& model) const;

 private:
  std::string root_, cache_;
};

}  // namespace st

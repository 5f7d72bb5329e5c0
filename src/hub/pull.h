// Models by name: downloaded once, found from then on.
#pragma once

#include <string>

#include "hub/hub.h"
#include "hub/store.h"

namespace st {

struct PullResult {
  StoredModel model;
  uint64_t downloaded = 0;  // bytes; 0: all of it was there, and is what the hub has
};

// Brings the model that `name` means on the hub to this disk, all its files, each checked and under
// its name only once it is whole. What an earlier pull has left unfinished is gone on with; two at
// once take turns. Throws Error that names the repository.
PullResult pull_model(const ModelStore& store, const ModelName& name, const HubOptions& options);

}  // namespace st

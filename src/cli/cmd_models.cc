// pull, ls, rm: models by name.
#include "cli/cmd_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/user_folders.h"
#include "cli/interrupt.h"
#include "cli/report.h"
#include "cli/streams.h"

namespace st {
namespace {

ModelName name_of(const std::string& text) {
  const auto name = parse_model_name(text);
  if (!name) {
    fail(ErrorCode::kInvalidUsage, "'{}': want OWNER/REPO[:QUANT], such as {}", printable(text),
         kExampleModel);
  }
  return *name;
}

std::string_view place_of(const StoredModel& model) {
  if (!model.whole) return "unfinished: pull it again";
  return model.ours ? "" : "in Hugging Face's cache";
}

nlohmann::json describe(const StoredModel& model) {
  return {{"name", model.name.text()},  {"path", model.path},
          {"bytes", model.files.bytes}, {"files", model.files.files.size()},
          {"whole", model.whole},       {"place", model.ours ? "models" : "huggingface"}};
}

// Those of ours that a name to be removed means: one, or all of the repository.
std::vector<StoredModel> meant_models(const ModelStore& store, const ModelName& name) {
  std::vector<StoredModel> meant;
  const auto one = name.choice.empty() ? std::nullopt : store.find(name);
  bool cached = false;
  for (const StoredModel& model : store.list()) {
    if (model.name.repository() != name.repository()) continue;
    const bool chosen =
        name.choice.empty() || model.name.choice == name.choice || (one && one->path == model.path);
    if (chosen && model.ours) meant.push_back(model);
    cached = cached || (chosen && !model.ours);
  }
  if (!meant.empty()) return meant;
  if (cached) {
    fail(ErrorCode::kNotFound,
         "{}: is in Hugging Face's cache, which is left to its own tools: see 'hf cache --help'",
         name.text());
  }
  fail(ErrorCode::kNotFound, "{}: no model of this name is here; see 'smallthinker ls'",
       name.text());
}

}  // namespace

PullResult pull(const PullArgs& args, const ModelName& name, const ModelStore& store) {
  HubOptions options = hub_options_from_environment();
  options.tries = args.tries;
  options.progress = make_progress_bar(args.progress);
  options.note = [&](std::string_view note) {
    end_lines();
    print_err("note: {}: {}\n", name.repository(), note);
  };
  options.stop = &interrupt_stop();
  const GracefulStop graceful;
  make_user_folder(UserFolder::kData);
  try {
    return pull_model(store, name, options);
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kCancelled) {
      end_lines();
      print_err(
          "interrupted: what has arrived is kept; 'smallthinker pull {}' goes on from there\n",
          name.text());
    }
    throw;
  }
}

int execute(const PullArgs& args) {
  const PullResult result = pull(args, name_of(args.name), ModelStore::of_environment());
  const StoredModel& model = result.model;
  const std::string size = format_bytes(model.files.bytes);
  if (result.downloaded == 0) {
    print_err("{}: {}, is here already\n", model.name.text(), size);
  } else {
    print_err("{}: {}, {} downloaded\n", model.name.text(), size, format_bytes(result.downloaded));
  }
  print_out("{}\n", model.path);
  return kExitOk;
}

int execute(const ListArgs& args) {
  const std::vector<StoredModel> models = ModelStore::of_environment().list();
  if (args.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const StoredModel& model : models) list.push_back(describe(model));
    print_out("{}\n", list.dump(2));
    return kExitOk;
  }
  if (models.empty()) {
    print_err("no models yet; get one with 'smallthinker pull {}'\n", kExampleModel);
    return kExitOk;
  }
  size_t width = 0;
  for (const StoredModel& model : models) width = std::max(width, model.name.text().size());
  for (const StoredModel& model : models) {
    const std::string_view place = place_of(model);
    print_out("{:<{}}  {:>9}{}{}\n", model.name.text(), width, format_bytes(model.files.bytes),
              place.empty() ? "" : "  ", place);
  }
  return kExitOk;
}

int execute(const RemoveArgs& args) {
  const ModelStore store = ModelStore::of_environment();
  std::vector<StoredModel> all;
  for (const std::string& text : args.names) {  // nothing is removed if one name is wrong
    for (StoredModel& model : meant_models(store, name_of(text))) all.push_back(std::move(model));
  }
  for (const StoredModel& model : all) {
    store.remove(model);
    print_err("removed {}, {}\n", model.name.text(), format_bytes(model.files.bytes));
  }
  return kExitOk;
}

}  // namespace st

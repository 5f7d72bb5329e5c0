// pull, ls, rm: models by name.
#include "cli/cmd_models.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/user_folders.h"
#include "cli/converted.h"
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

nlohmann::json describe(const ConvertedModel& model) {
  return {{"name", model.path}, {"path", model.path}, {"bytes", model.bytes},
          {"files", 1},         {"whole", true},      {"place", "converted"}};
}

// Where models were looked for.
std::string places(const ModelStore& store) {
  std::vector<std::string> places;
  if (!store.root().empty()) places.push_back(printable_path(store.root()));
  if (!store.cache().empty()) places.push_back(printable_path(store.cache()));
  return places.empty() ? "no folder: HOME is not set" : fmt::format("{}", fmt::join(places, ", "));
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

// What is to be removed.
struct Meant {
  std::vector<StoredModel> models;
  std::vector<ConvertedModel> converted;
};

// Adds what `text` means: a folder or its copy in GGUF, where there is one; or a model by name, and
// the copy of it.
void add_meant(const ModelStore& store, const std::string& text, Meant& meant) {
  const auto add = [&](std::vector<ConvertedModel> converted) {
    for (ConvertedModel& model : converted) meant.converted.push_back(std::move(model));
  };
  if (auto converted = converted_models_of(text); !converted.empty()) {
    return add(std::move(converted));
  }
  const bool is_path = text.starts_with('/') || ::access(text.c_str(), F_OK) == 0;
  if (is_path && !parse_model_name(text)) {
    fail(ErrorCode::kNotFound, "{}: no converted copy of it is here; see 'smallthinker ls'",
         printable_path(text));
  }
  for (StoredModel& model : meant_models(store, name_of(text))) {
    add(converted_models_of(model.path));
    meant.models.push_back(std::move(model));
  }
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
  const ModelStore store = ModelStore::of_environment();
  const std::vector<StoredModel> models = store.list();
  const std::vector<ConvertedModel> converted = converted_models();
  if (args.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const StoredModel& model : models) list.push_back(describe(model));
    for (const ConvertedModel& model : converted) list.push_back(describe(model));
    print_out("{}\n", list.dump(2));
    return kExitOk;
  }
  if (models.empty() && converted.empty()) {
    print_err("no models yet, in {}; get one with 'smallthinker pull {}'\n", places(store),
              kExampleModel);
    return kExitOk;
  }
  size_t width = 0;
  for (const StoredModel& model : models) width = std::max(width, model.name.text().size());
  for (const StoredModel& model : models) {
    const std::string_view place = place_of(model);
    print_out("{:<{}}  {:>9}{}{}\n", model.name.text(), width, format_bytes(model.files.bytes),
              place.empty() ? "" : "  ", place);
  }
  for (const ConvertedModel& model : converted) {
    print_out("{}  {}  converted from a folder, is made again when needed\n",
              printable_path(model.path), format_bytes(model.bytes));
  }
  return kExitOk;
}

int execute(const RemoveArgs& args) {
  const ModelStore store = ModelStore::of_environment();
  Meant all;  // nothing is removed if one name is wrong
  for (const std::string& text : args.names) add_meant(store, text, all);
  for (const StoredModel& model : all.models) {
    store.remove(model);
    print_err("removed {}, {}\n", model.name.text(), format_bytes(model.files.bytes));
  }
  for (const ConvertedModel& model : all.converted) {
    remove_converted(model);
    print_err("removed {}, {}\n", printable_path(model.path), format_bytes(model.bytes));
  }
  return kExitOk;
}

}  // namespace st

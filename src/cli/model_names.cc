#include "cli/model_names.h"

#include <unistd.h>

#include <cstdlib>
#include <type_traits>

#include "base/error.h"
#include "cli/cmd_models.h"
#include "cli/converted.h"
#include "cli/streams.h"

namespace st {
namespace {

bool is_offline() {
  const char* value = std::getenv("HF_HUB_OFFLINE");
  return value != nullptr && *value != 0 && std::string_view(value) != "0";
}

// Those that write a text: what a folder is converted to differs from it a little, which is for a
// user who measures to know.
template <typename Args>
constexpr bool generates = std::is_same_v<Args, RunArgs> || std::is_same_v<Args, ChatArgs>;

// `model` as a path.
void find_model(std::string& model, bool offline, bool progress) {
  const auto name = parse_model_name(model);
  if (!name || ::access(model.c_str(), F_OK) == 0) return;
  const ModelStore store = ModelStore::of_environment();
  if (const auto stored = store.find(*name)) {
    model = stored->path;
    return;
  }
  // In a folder of that name here, a file of it was meant.
  if (offline || is_offline() || ::access(name->owner.c_str(), F_OK) == 0) {
    fail(ErrorCode::kNotFound,
         "{}: no such file, and no model of this name is here; get it with "
         "'smallthinker pull {}'",
         model, model);
  }
  print_err("note: {}: not here yet, downloading\n", model);
  model = pull({.progress = progress}, *name, store).model.path;
}

}  // namespace

Command with_model_paths(Command command) {
  std::visit(
      [](auto& args) {
        if constexpr (requires { args.model.model; }) {
          find_model(args.model.model, args.model.offline, args.model.progress);
          if constexpr (generates<std::remove_cvref_t<decltype(args)>>) {
            if (is_hf_folder(args.model.model)) {
              args.model.model = converted_model(args.model.model, args.model.progress);
            }
          }
        } else if constexpr (requires { args.model; }) {
          find_model(args.model, args.offline, true);
        }
      },
      command);
  return command;
}

}  // namespace st

// Models by name, as llama.cpp's -hf has them: OWNER/REPO[:CHOICE].
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace st {

struct ModelName {
  std::string owner, repo;
  std::string choice;  // a quantisation such as Q4_K_M, or a file; empty: see choose_model()

  std::string repository() const { return owner + "/" + repo; }
  std::string text() const { return repository() + (choice.empty() ? "" : ":" + choice); }
};

// nullopt of what cannot be a name on the hub; ":latest" is no choice. Text that ends like the file
// of a model is a path.
std::optional<ModelName> parse_model_name(std::string_view text);

// Whether a file of a repository may have this path on our disk, too: components of ordinary
// characters, none of them hidden, "..", or like an option; few and short ones.
bool is_safe_path(std::string_view path);

}  // namespace st

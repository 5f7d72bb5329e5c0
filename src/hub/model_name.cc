#include "hub/model_name.h"

#include <algorithm>

namespace st {
namespace {

constexpr size_t kLongestName = 96;        // of an owner or a repository
constexpr size_t kLongestComponent = 150;  // of a path; what we append fits into 255
constexpr size_t kDeepest = 8;

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// An owner or a repository: letters, digits, '_' and, single and between them, '-' and '.'.
bool is_name(std::string_view text) {
  if (text.empty() || text.size() > kLongestName) return false;
  char before = '.';
  for (const char c : text) {
    const bool joins = c == '-' || c == '.';
    if (!joins && c != '_' && !is_alphanumeric(c)) return false;
    if (joins && (before == '.' || (before == '-' && c == '-'))) return false;
    before = c;
  }
  return before != '-' && before != '.';
}

bool is_safe_component(std::string_view name) {
  if (name.empty() || name.size() > kLongestComponent) return false;
  if (name[0] == '.' || name[0] == '-') return false;
  return std::ranges::all_of(name, [](char c) {
    return is_alphanumeric(c) || std::string_view("_-.+=@,()[] ").find(c) != std::string_view::npos;
  });
}

}  // namespace

bool is_safe_path(std::string_view path) {
  for (size_t depth = 1; depth <= kDeepest; ++depth) {
    const size_t slash = path.find('/');
    if (!is_safe_component(path.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
  return false;
}

std::optional<ModelName> parse_model_name(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const size_t colon = text.find(':', slash);
  ModelName name{.owner = std::string(text.substr(0, slash)),
                 .repo = std::string(text.substr(slash + 1, colon - slash - 1))};
  if (!is_name(name.owner) || !is_name(name.repo)) return std::nullopt;
  if (name.repo.ends_with(".gguf") || name.repo.ends_with(".safetensors")) return std::nullopt;
  if (colon == std::string_view::npos) return name;
  name.choice = text.substr(colon + 1);
  if (!is_safe_path(name.choice)) return std::nullopt;
  if (name.choice == "latest") name.choice.clear();
  return name;
}

}  // namespace st

#include "hub/choose.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

namespace st {
namespace {

constexpr std::string_view kGguf = ".gguf";
constexpr std::string_view kPartNumbers = "-00001-of-00001";

// Not models of their own.
constexpr std::array<std::string_view, 6> kCompanions = {"mmproj",  "imatrix", "mtp-",
                                                         "eagle3-", "dflash-", "dspark-"};

// Without a choice, the best first; of what is not here any, before any checkpoint.
constexpr std::array<std::string_view, 22> kPreferred = {
    "Q4_K_M", "Q4_0",   "Q4_K_S", "IQ4_NL", "IQ4_XS", "MXFP4_MOE", "MXFP4", "Q4_1",
    "Q5_K_M", "Q5_K_S", "Q5_0",   "Q5_1",   "Q6_K",   "Q8_0",      "BF16",  "F16",
    "F32",    "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K",   "Q2_K_S"};

// What stands beside the weights of a checkpoint and is read.
constexpr std::array<std::string_view, 11> kBesideWeights = {
    "config.json",         "generation_config.json",
    "tokenizer.json",      "tokenizer_config.json",
    "tokenizer.model",     "vocab.json",
    "merges.txt",          "added_tokens.json",
    "chat_template.jinja", "special_tokens_map.json",
    "chat_template.json"};

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }

std::string upper(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) { return upper(c); });
  return out;
}

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// NAME-00002-of-00003.EXT is the second of three.
struct Part {
  std::string stem;  // without numbers and extension
  int number = 1, count = 1;
};

std::optional<int> five_digits(std::string_view text) {
  int value = 0;
  for (const char c : text.substr(0, 5)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

Part part_of(std::string_view path, std::string_view extension) {
  const std::string_view stem = path.substr(0, path.size() - extension.size());
  if (stem.size() > kPartNumbers.size()) {
    const std::string_view numbers = stem.substr(stem.size() - kPartNumbers.size());
    const auto number = five_digits(numbers.substr(1));
    const auto count = five_digits(numbers.substr(10));
    if (number && count && numbers[0] == '-' && numbers.substr(6, 4) == "-of-" && *number >= 1 &&
        *number <= *count) {
      return {std::string(stem.substr(0, stem.size() - kPartNumbers.size())), *number, *count};
    }
  }
  return {std::string(stem)};
}

// Of the files that end so: those whose parts are all there, in their order, by name and count.
using Wholes = std::map<std::pair<std::string, int>, std::vector<HubFile>>;

Wholes whole_files(std::span<const HubFile> files, std::string_view extension) {
  std::map<std::pair<std::string, int>, std::map<int, HubFile>> parts;
  for (const HubFile& file : files) {
    if (!file.path.ends_with(extension)) continue;
    const Part part = part_of(file.path, extension);
    parts[{part.stem, part.count}].emplace(part.number, file);
  }
  Wholes wholes;
  for (auto& [name, numbered] : parts) {
    if (numbered.size() != static_cast<size_t>(name.second)) continue;
    for (auto& [number, file] : numbered) wholes[name].push_back(std::move(file));
  }
  return wholes;
}

// Q4_K_M of Model-UD-Q4_K_M; empty if the name does not end like a type.
std::string quantisation(std::string_view stem) {
  const std::string name = upper(file_name(stem));
  const std::string tag = name.substr(name.find_last_of("-.") + 1);
  for (const std::string_view begins : {"Q", "IQ", "TQ", "F", "BF", "MXFP", "NVFP"}) {
    if (tag.size() > begins.size() && tag.starts_with(begins) && tag[begins.size()] >= '0' &&
        tag[begins.size()] <= '9') {
      return tag;
    }
  }
  return {};
}

bool is_companion(std::string_view path) {
  return std::ranges::any_of(kCompanions, [&](std::string_view word) {
    return file_name(path).find(word) != std::string_view::npos;
  });
}

void add_checkpoint(std::span<const HubFile> files, std::vector<ModelFiles>& models) {
  std::vector<HubFile> root;
  for (const HubFile& file : files) {
    if (file.path.find('/') == std::string::npos) root.push_back(file);
  }
  ModelFiles model{.tag = std::string(kCheckpoint)};
  for (const auto& [name, parts] : whole_files(root, ".safetensors")) {
    model.files.insert(model.files.end(), parts.begin(), parts.end());
  }
  if (model.files.empty()) return;
  for (const HubFile& file : root) {
    const bool read = std::ranges::count(kBesideWeights, file.path) > 0;
    if (read || file.path.ends_with(".safetensors.index.json")) model.files.push_back(file);
  }
  const auto last = std::ranges::find(model.files, "config.json", &HubFile::path);
  if (last == model.files.end()) return;
  std::rotate(last, last + 1, model.files.end());
  models.push_back(std::move(model));
}

// Whether `word` stands in the path on its own: not beside another letter or digit.
bool has_word(std::string_view path, std::string_view word) {
  constexpr std::string_view kBetween = "-./";
  const std::string_view stem = path.substr(0, path.rfind('.'));
  for (size_t at = stem.find(word); at != stem.npos; at = stem.find(word, at + 1)) {
    const bool begins = at == 0 || kBetween.find(stem[at - 1]) != kBetween.npos;
    const size_t end = at + word.size();
    if (begins && (end == stem.size() || kBetween.find(stem[end]) != kBetween.npos)) return true;
  }
  return false;
}

// The one with the shortest path of those that `fits`.
template <typename Fits>
const ModelFiles* shortest(std::span<const ModelFiles> models, Fits fits) {
  const ModelFiles* best = nullptr;
  for (const ModelFiles& model : models) {
    if (!fits(model)) continue;
    if (best == nullptr || model.path().size() < best->path().size()) best = &model;
  }
  return best;
}

const ModelFiles* find_choice(std::span<const ModelFiles> models, const std::string& choice) {
  const auto named = [&](const ModelFiles& model) {
    const std::string path = upper(model.path());
    return path == choice || file_name(path) == choice;
  };
  if (const ModelFiles* model = shortest(models, named)) return model;
  const auto tagged = [&](const ModelFiles& model) { return upper(model.tag) == choice; };
  if (const ModelFiles* model = shortest(models, tagged)) return model;
  return shortest(models,
                  [&](const ModelFiles& model) { return has_word(upper(model.path()), choice); });
}

}  // namespace

bool ModelFiles::is_checkpoint() const { return tag == kCheckpoint; }

std::vector<ModelFiles> find_models(std::span<const HubFile> files) {
  std::vector<ModelFiles> models;
  for (auto& [name, parts] : whole_files(files, kGguf)) {
    if (is_companion(name.first)) continue;
    const std::string type = quantisation(name.first);
    models.push_back({.tag = type.empty() ? parts.front().path : type, .files = std::move(parts)});
  }
  add_checkpoint(files, models);
  for (ModelFiles& model : models) {
    for (const HubFile& file : model.files) model.bytes += file.size;
  }
  return models;
}

const ModelFiles* choose_model(std::span<const ModelFiles> models, std::string_view choice) {
  if (!choice.empty()) return find_choice(models, upper(choice));
  for (const std::string_view tag : kPreferred) {
    const auto tagged = [&](const ModelFiles& model) { return model.tag == tag; };
    if (const ModelFiles* model = shortest(models, tagged)) return model;
  }
  const ModelFiles* any =
      shortest(models, [](const ModelFiles& model) { return !model.is_checkpoint(); });
  return any != nullptr || models.empty() ? any : &models.front();
}

}  // namespace st

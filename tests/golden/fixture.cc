#include "golden/fixture.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>

#include "convert/convert.h"
#include "support/feed_at.h"
#include "support/temporary_folder.h"

namespace st::golden {
const nlohmann::json& read_golden(const std::string& path) {
  static std::map<std::string, nlohmann::json> files;
  const auto [file, first] = files.try_emplace(path);
  if (first) file->second = nlohmann::json::parse(std::ifstream(shipped(path)));
  return file->second;
}

std::string converted(const std::string& folder, DType type, bool transpose_down) {
  static const TemporaryFolder workspace;  // removed when the program ends
  static std::map<std::string, std::string> made;
  std::string key = folder + std::string(dtype_name(type)) + (transpose_down ? "-t" : "");
  std::ranges::replace(key, '/', '-');
  auto [entry, is_new] = made.try_emplace(key, workspace / (key + ".gguf"));
  if (is_new) {
    convert_hf({.folder = shipped(folder),
                .outfile = entry->second,
                .type = type,
                .transpose_down = transpose_down});
  }
  return entry->second;
}

std::vector<float> logits_after(Engine& engine, const std::vector<Token>& ids) {
  const auto logits = engine.evaluate(testkit::feed_at(engine, ids, 0, false));
  return {logits.begin(), logits.end()};
}

TopDifference compare_top10(const std::vector<float>& logits, const nlohmann::json& top10) {
  TopDifference difference;
  for (const auto& entry : top10) {
    const double got = logits[entry["id"].get<size_t>()];
    difference.largest = std::max(difference.largest, std::abs(got - entry["logit"].get<double>()));
  }
  const auto best = std::ranges::max_element(logits) - logits.begin();
  difference.same_best = best == top10[0]["id"].get<int64_t>();
  return difference;
}

std::vector<Token> greedy(Engine& engine, const std::vector<Token>& ids, int n) {
  std::vector<Token> out;
  auto logits = engine.evaluate(testkit::feed_at(engine, ids, 0, false));
  for (int i = 0; i < n; ++i) {
    const auto best = static_cast<Token>(std::ranges::max_element(logits) - logits.begin());
    out.push_back(best);
    if (i + 1 < n) {
      logits = engine.evaluate(testkit::feed_at(engine, std::span(&best, 1),
                                                static_cast<int64_t>(ids.size()) + i, false));
    }
  }
  return out;
}

}  // namespace st::golden

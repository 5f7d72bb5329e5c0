// A picture of a model's experts: a row for each layer, which of its experts are in memory and how
// often they are used.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace st {

// How often each expert was chosen, with what is long past counting less.
class ExpertUses {
 public:
  void count(int64_t layer, std::span<const int32_t> chosen);
  // The same of a pass with a draft: of its `tokens` the first count that `stay`, once it is known.
  void hold(int64_t layer, std::span<const int32_t> chosen);
  void count_held(int64_t stay, int64_t tokens);
  // Of an expert, as a multiple of what it would be if all of its layer were used alike; 0: never.
  float of(int64_t layer, int64_t expert, int64_t experts) const;

 private:
  struct Row {
    std::vector<float> uses;
    float total = 0;
  };
  struct Held {
    int64_t layer;
    std::vector<int32_t> chosen;
  };
  std::vector<Row> rows_;  // (layers)
  std::vector<Held> held_;
};

struct ExpertCell {
  bool resident = true;
  float use = 0;  // as ExpertUses has it
};

struct ExpertMap {
  std::vector<std::vector<ExpertCell>> layers;  // with different numbers of experts, if need be
};

// Lines of at most `columns`, each with a line feed, and what they mean below. In colours two
// layers share a line; where there is no room for all experts neighbours share a cell.
std::string draw(const ExpertMap& map, int columns, bool color);

}  // namespace st

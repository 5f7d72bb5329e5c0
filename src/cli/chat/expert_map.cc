#include "cli/chat/expert_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace st {
namespace {

constexpr float kForget = 0.998f;  // a token counts half after some 350

// Of resident experts and of others, from never used to used most; 256-colour palette.
enum Shade : int { kNone = 0, kUnused, kSome, kOften, kMost, kShades };
constexpr int kResidentColors[kShades] = {16, 17, 26, 79, 226};
constexpr int kAbsentColors[kShades] = {16, 235, 239, 52, 124};
constexpr char kResidentLetters[kShades + 1] = " -=*#";
constexpr char kAbsentLetters[kShades + 1] = " ..o!";

constexpr int kLabel = 6;  // columns in front of a line

Shade shade(const ExpertCell& cell) {
  if (cell.use <= 0) return kUnused;
  return cell.use < 0.5f ? kSome : cell.use < 2.0f ? kOften : kMost;
}

int color_of(const ExpertCell* cell) {
  if (!cell) return kResidentColors[kNone];
  return (cell->resident ? kResidentColors : kAbsentColors)[shade(*cell)];
}

char letter(const ExpertCell& cell) {
  return (cell.resident ? kResidentLetters : kAbsentLetters)[shade(cell)];
}

// The most used of each `share` neighbours.
std::vector<ExpertCell> shared(std::span<const ExpertCell> cells, size_t share) {
  std::vector<ExpertCell> out;
  for (size_t at = 0; at < cells.size(); at += share) {
    const auto some = cells.subspan(at, std::min(share, cells.size() - at));
    out.push_back(*std::ranges::max_element(some, {}, &ExpertCell::use));
  }
  return out;
}

// The upper half of a cell is one layer, the lower half the next.
std::string colored_line(std::span<const ExpertCell> upper, std::span<const ExpertCell> lower) {
  std::string line;
  for (size_t at = 0; at < std::max(upper.size(), lower.size()); ++at) {
    line += fmt::format("\x1b[38;5;{};48;5;{}m\u2580",
                        color_of(at < upper.size() ? &upper[at] : nullptr),
                        color_of(at < lower.size() ? &lower[at] : nullptr));
  }
  return line + "\x1b[0m";
}

std::string legend(bool colored, size_t share) {
  std::string text;
  const auto part = [&](bool resident, Shade s, const char* what) {
    const char mark = (resident ? kResidentLetters : kAbsentLetters)[s];
    const int palette = (resident ? kResidentColors : kAbsentColors)[s];
    text += colored ? fmt::format("\x1b[48;5;{}m  \x1b[0m {}  ", palette, what)
                    : fmt::format("{} {}  ", mark, what);
  };
  text += colored ? "half a line a layer, a cell an expert; how much it was used lately:\n"
                  : "a line a layer, a cell an expert; how much it was used lately:\n";
  text += "in memory: ";
  part(true, kUnused, "not used");
  part(true, kSome, "little");
  part(true, kOften, "usual");
  part(true, kMost, "much");
  text += "\nin the file: ";
  part(false, kUnused, "not used or little");
  part(false, kOften, "usual");
  part(false, kMost, "much");
  text += '\n';
  if (share > 1) text += fmt::format("{} experts a cell, the most used of them\n", share);
  return text;
}

}  // namespace

void ExpertUses::count(int64_t layer, std::span<const int32_t> chosen) {
  const auto l = static_cast<size_t>(layer);
  if (l >= rows_.size()) rows_.resize(l + 1);
  Row& row = rows_[l];
  for (float& use : row.uses) use *= kForget;
  row.total *= kForget;
  for (const int32_t expert : chosen) {
    const auto e = static_cast<size_t>(expert);
    if (e >= row.uses.size()) row.uses.resize(e + 1);
    row.uses[e] += 1;
    row.total += 1;
  }
}

void ExpertUses::hold(int64_t layer, std::span<const int32_t> chosen) {
  held_.push_back({layer, {chosen.begin(), chosen.end()}});
}

void ExpertUses::count_held(int64_t stay, int64_t tokens) {
  for (const auto& [layer, chosen] : std::exchange(held_, {})) {
    const auto used = std::ssize(chosen) / std::max<int64_t>(tokens, 1);
    count(layer, std::span(chosen).first(static_cast<size_t>(used * stay)));
  }
}

float ExpertUses::of(int64_t layer, int64_t expert, int64_t experts) const {
  const auto l = static_cast<size_t>(layer), e = static_cast<size_t>(expert);
  if (l >= rows_.size() || e >= rows_[l].uses.size()) return 0;
  return rows_[l].uses[e] / rows_[l].total * static_cast<float>(experts);
}

std::string draw(const ExpertMap& map, int columns, bool color) {
  size_t most = 1;
  for (const auto& layer : map.layers) most = std::max(most, layer.size());
  const auto room = static_cast<size_t>(std::max(columns - kLabel, 8));
  const size_t share = (most + room - 1) / room;
  std::string out;
  for (size_t l = 0; l < map.layers.size(); l += color ? 2 : 1) {
    out += fmt::format("{:>4}  ", l);
    const std::vector<ExpertCell> upper = shared(map.layers[l], share);
    if (color) {
      const bool last = l + 1 == map.layers.size();
      const auto lower = last ? std::vector<ExpertCell>() : shared(map.layers[l + 1], share);
      out += colored_line(upper, lower);
    } else {
      for (const ExpertCell& cell : upper) out += letter(cell);
    }
    out += '\n';
  }
  return out + legend(color, share);
}

}  // namespace st

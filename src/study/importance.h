// Which columns of its matrices matter to a model: sums of squares of what they are multiplied
// with, while an engine evaluates a text.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "convert/imatrix.h"
#include "engine/model.h"
#include "model/step.h"

namespace st {

// An engine's observe_inputs(). For one engine, on the thread that evaluates.
class Importance final : public InputObserver {
 public:
  // Of the matrices of the layers, as llama.cpp's imatrix has them, and with `output` of the
  // head's. `model` outlives it.
  Importance(const Model& model, bool output)
      : model_(model), output_(output), names_(model.store().tensors_in_memory()) {}

  // What the sums take, at most.
  static uint64_t bytes(const Model& model, bool output);

  void projected(const Matrix& w, std::span<const float> x) override;
  void in_expert(int64_t layer, int32_t expert, std::span<const float> in,
                 std::span<const float> neurons) override;

  // By tensor; experts that no token chose have counts of 0.
  const std::map<std::string, ImportanceSums>& sums() const { return sums_; }
  // Experts of all layers, and how many of them no token chose.
  struct Experts {
    int64_t all = 0, unused = 0;
  };
  Experts experts() const;

 private:
  using Parts = std::array<ImportanceSums*, kExpertParts>;
  // The sums of a tensor, made when they are first asked for.
  ImportanceSums& of(const std::string& tensor, int64_t cols, int64_t matrices);
  const Parts& parts(int64_t layer);

  const Model& model_;
  const bool output_;
  const std::map<const std::byte*, std::string> names_;
  std::map<std::string, ImportanceSums> sums_;
  std::map<int64_t, Parts> parts_;  // by layer: gate, up and down
};

}  // namespace st

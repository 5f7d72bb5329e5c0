// The type that each tensor of a model gets when it is quantised.
#pragma once

#include <string>
#include <vector>

#include "convert/name_pattern.h"
#include "convert/quant_mix.h"
#include "convert/quantize_file.h"
#include "format/gguf_model.h"

namespace st {

class TypeChoice {
 public:
  // Throws Error(kInvalidUsage) for a mix that there is not, or a pattern that is none.
  TypeChoice(const QuantizeOptions& options, const GgufModel& in);

  const QuantMix& mix() const { return *mix_; }

  // Throws Error(kUnsupported) for one that may not be quantised again.
  DType type_of(const GgufTensor& tensor);

  // Throws Error(kInvalidUsage) if a pattern has matched no matrix.
  void refuse_idle_patterns() const;

 private:
  struct Pattern {
    NamePattern name;
    DType type;
    bool matched = false;
  };
  DType wanted(const GgufTensor& tensor);
  uint64_t predictor_cols(const GgufTensor& predictor) const;

  const QuantizeOptions& options_;
  const GgufModel& in_;
  const QuantMix* mix_;
  MixFacts facts_;
  std::vector<Pattern> patterns_;
};

}  // namespace st

// Which type each matrix of a quantised model has: llama.cpp's mixes, under its names.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/gguf_model.h"
#include "tensor/dtype.h"

namespace st {

struct MixRule;  // of quant_mix.cc

struct QuantMix {
  std::string_view name;
  uint32_t file_type;  // general.file_type
  DType type;          // of what no rule is for
  DType head;          // of the output matrix, or the embedding that serves as one
  std::span<const MixRule> rules;
};

// By name, upper or lower case; Q3_K, Q4_K and Q5_K are those with _M. Null: there is none.
const QuantMix* find_quant_mix(std::string_view name);
std::string quant_mix_names();  // "F32, F16 ... or Q8_0"

// general.file_type of a file whose matrices are all `type`.
uint32_t gguf_file_type(DType type);

// What the rules ask about a model.
struct MixFacts {
  int64_t layers = 0;
  int64_t experts = 0;
  int64_t queries_per_key = 1;        // heads
  bool tied = true;                   // no output matrix
  bool importance = false;            // there is an importance matrix
  std::vector<int64_t> value_layers;  // those with an attn_v, ascending

  void add(std::string_view tensor);
};
MixFacts mix_facts(const GgufFile& metadata, const std::vector<GgufModel::Tensor>& tensors);

// The type that the mix has for a matrix with rows of `cols` values, whether those are whole blocks
// or not.
DType mixed_type(const QuantMix& mix, const MixFacts& facts, std::string_view tensor,
                 uint64_t cols);

// `want`, or llama.cpp's substitute of smaller blocks, or F16, where rows of `cols` values cannot
// be cut into its blocks.
DType type_for_row(DType want, uint64_t cols);

// Embedding tables, by token and by token and layer.
bool is_embedding(std::string_view tensor);

}  // namespace st

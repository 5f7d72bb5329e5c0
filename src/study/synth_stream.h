// The residual stream of a made-up model: what its channels are for, and how large x is at every
// layer.
//
// It is cut into blocks of 32 channels:
//
//   constant   1 in every embedding row, and no layer writes there: rows that read it have a bias
//   topic      marks the token's topic, again for good; ids fall into topics by range
//   input      random, of deviation 1: what tells tokens apart
//   output     nearly 0 in the embedding: what layers add there is nearly all of it, and only
//              these channels and the topic reach the logits, or else a tied model would repeat
//              its input for ever
//
// Layers add random vectors to input and output channels whose variance is known from the weights,
// so the length of x at every layer, and from it every bias, follows without running the model.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"
#include "study/synth_archs.h"
#include "study/synth_rows.h"

namespace st {

class SynthStream {
 public:
  explicit SynthStream(const ModelConfig& config);

  static constexpr int64_t kConstant = 0, kTopic = 1, kInput = 2;  // first block of each part
  int64_t output() const { return kInput + inputs_; }

  int64_t blocks() const { return blocks_; }
  int64_t inputs() const { return inputs_; }    // blocks of the input part
  int64_t outputs() const { return outputs_; }  // and of the output part

  static constexpr int64_t kTopics = 8;
  static constexpr int64_t kTopicChannels = 4;  // of each topic but 0, which has no mark
  int64_t topic_of(int64_t token) const;
  uint32_t topic_mask(int64_t token) const;  // of its topic's channels

  static constexpr double kOutputEmbedding = 0.02;  // deviation of output channels there
  // Variance that all layers together add to a channel. The input stays the larger part, so that a
  // deep model is as tame as a shallow one.
  static constexpr double kFfnVariance = 0.4;
  static constexpr double kAttentionVariance = 0.1;  // were there a single key

  // All of the following as layer l finds x, or the final norm at l = layers.
  double varying(int64_t l) const;  // sum of squares of what differs between tokens
  double rms(int64_t l) const;
  // Deviation of weights that read RMSNorm(x) and are to give results of deviation 1.
  double reading(int64_t l) const;
  double output_deviation() const;  // of an output channel, at the end

  // A row of the embedding (`constant` and `input` 1) or of an output matrix.
  void token_row(int64_t token, double constant, double input, Row& row) const;
  // A row that reads the stream: `bias` of the constant, `deviation` of the rest.
  void reader_row(double bias, double deviation, Row& row) const;

 private:
  double added(int64_t l) const;

  int64_t layers_, hidden_, vocab_;
  int64_t blocks_, inputs_, outputs_;
};

// The router (E, D) of layer l. Scores are random, of deviation 1; those of the hot experts of the
// token's topic are higher by `skew` times what the architecture says. Which experts are hot
// depends on the layer, through `key`, and differs from topic to topic. The router reads x as layer
// l finds it or, if `normed`, RMSNorm(x).
std::vector<float> make_synth_router(const SynthArch& arch, const SynthStream& stream, int64_t l,
                                     double skew, uint64_t key, bool normed = false);

}  // namespace st

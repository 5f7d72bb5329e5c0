#include "study/synth_stream.h"

#include <cmath>

#include "tensor/blocks.h"

namespace st {
namespace {

// Topic 0 has three quarters of the ids, so that ids drawn at random still show its experts as hot;
// the others share the rest.
constexpr double kMainTopic = 0.75;

// Keys that share a query's attention, roughly, at kScoreDeviation of synth_weights.cc.
constexpr double kAttentionKeys = 5;

}  // namespace

SynthStream::SynthStream(const ModelConfig& config)
    : layers_(config.layers),
      hidden_(config.hidden),
      vocab_(config.vocab),
      blocks_(config.hidden / kBlock),
      inputs_((blocks_ - kInput) / 2),
      outputs_(blocks_ - kInput - inputs_) {}

int64_t SynthStream::topic_of(int64_t token) const {
  const auto first = static_cast<int64_t>(kMainTopic * static_cast<double>(vocab_));
  if (token < first) return 0;
  return 1 + (token - first) * (kTopics - 1) / (vocab_ - first);
}

uint32_t SynthStream::topic_mask(int64_t token) const {
  const int64_t topic = topic_of(token);
  return topic == 0 ? 0 : uint32_t{0xF} << (topic * kTopicChannels);
}

double SynthStream::added(int64_t l) const {
  return (kFfnVariance + kAttentionVariance / kAttentionKeys) * static_cast<double>(l) /
         static_cast<double>(layers_);
}

double SynthStream::varying(int64_t l) const {
  const double in = kBlock * static_cast<double>(inputs_);
  const double out = kBlock * static_cast<double>(outputs_);
  return in + out * kOutputEmbedding * kOutputEmbedding + (in + out) * added(l);
}

double SynthStream::rms(int64_t l) const {
  return std::sqrt((kBlock + varying(l)) / static_cast<double>(hidden_));
}

double SynthStream::reading(int64_t l) const { return rms(l) / std::sqrt(varying(l)); }

double SynthStream::output_deviation() const {
  return std::sqrt(kOutputEmbedding * kOutputEmbedding + added(layers_));
}

void SynthStream::token_row(int64_t token, double constant, double input, Row& row) const {
  row.push_back(Stretch::constant(1, constant));
  row.push_back(Stretch::constant(1, 1, topic_mask(token)));
  row.push_back(Stretch::random(inputs_, input, kInput));
  row.push_back(Stretch::random(outputs_, kOutputEmbedding, output()));
}

void SynthStream::reader_row(double bias, double deviation, Row& row) const {
  row.push_back(Stretch::constant(1, bias));
  row.push_back(Stretch::random(blocks_ - kTopic, deviation, kTopic));
}

}  // namespace st

#include "study/synth_stream.h"

#include <cmath>
#include <numeric>

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

namespace {

// The experts in random order.
std::vector<size_t> shuffled(size_t experts, uint64_t key) {
  std::vector<size_t> order(experts);
  std::iota(order.begin(), order.end(), size_t{0});
  for (size_t i = experts - 1; i > 0; --i) std::swap(order[i], order[mix_bits(key, i) % (i + 1)]);
  return order;
}

}  // namespace

std::vector<float> make_synth_router(const SynthArch& arch, const SynthStream& stream, int64_t l,
                                     double skew, uint64_t key, bool normed) {
  const auto D = static_cast<size_t>(arch.config.hidden);
  const auto E = static_cast<size_t>(arch.config.ffn(l).experts);
  std::vector<float> rows(E * D);
  const double deviation = 1 / std::sqrt(stream.varying(l));
  for (size_t e = 0; e < E; ++e) {
    const uint64_t row_key = mix_bits(key, e);
    for (size_t i = SynthStream::kInput * kBlock; i < D; ++i)
      rows[e * D + i] = static_cast<float>(deviation * normal_deviate(mix_bits(row_key, i)));
  }

  // Adds `score` where all of these channels are 1.
  const auto add = [&](size_t expert, size_t channel, size_t channels, double score) {
    for (size_t i = channel; i < channel + channels; ++i)
      rows[expert * D + i] += static_cast<float>(score / static_cast<double>(channels));
  };
  const double score = arch.hot_score * skew;
  const std::vector<size_t> order = shuffled(E, mix_bits(key, E));  // hot ones first
  const auto hot = static_cast<size_t>(arch.hot_experts);
  for (size_t i = 0; i < E; ++i)
    add(order[i], SynthStream::kConstant * kBlock, kBlock, i < hot ? score / 2 : -score / 2);
  // Each topic trades some of the hot experts for others.
  const auto traded = static_cast<size_t>(arch.topic_experts);
  for (size_t topic = 1; topic < SynthStream::kTopics; ++topic) {
    constexpr size_t kChannels = SynthStream::kTopicChannels;
    const size_t channel = SynthStream::kTopic * kBlock + topic * kChannels;
    for (size_t i = topic * traded; i < (topic + 1) * traded; ++i) {
      add(order[i % hot], channel, kChannels, -score);
      add(order[hot + i % (E - hot)], channel, kChannels, score);
    }
  }
  if (normed) {
    for (float& weight : rows) weight *= static_cast<float>(stream.rms(l));
  }
  return rows;
}

}  // namespace st

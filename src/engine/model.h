// A model file that was opened: what it says, and its weights.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "arch/architecture.h"
#include "base/stop.h"
#include "format/gguf_model.h"
#include "model/config.h"
#include "model/decoder.h"
#include "text/tokenizer.h"
#include "weights/weight_loader.h"
#include "weights/weight_store.h"

namespace st {

struct ModelOptions {
  std::optional<Gating> gating;  // override of the file's gating function
  std::string expert_bundle;     // headerless file with the experts; empty: the model has them
  bool stream = false;           // experts and rows of the embedding stay in the file
  Architectures architectures = all_architectures();
};

// Shared by engines and const to them. Any thread.
class Model {
 public:
  // Parses what the file says and finds a place for each weight; reads none. Throws Error.
  explicit Model(const std::string& path, ModelOptions options = {});

  // Begins to bring the weights that do not stay in the file to memory, once, with so many threads:
  // a later call returns the same loader, or a new one if that has failed and nobody has it any
  // more. This outlives it.
  std::shared_ptr<WeightLoader> begin_weights(int threads) const;
  // Waits for all of them. Throws what WeightLoader::await_all() throws; then a later call tries
  // again.
  void read_weights(int threads, const Progress& progress, const Stop& stop) const;

  // What is wrong with the weights, said of their file, unless it says which one itself.
  Error named(const Error& error) const;

  // The same file, with other options.
  Model reopened(ModelOptions options) const { return Model(path_, std::move(options)); }

  const std::string& name() const { return name_; }  // of the file, for messages
  const ModelOptions& options() const { return options_; }
  const GgufModel& file() const { return file_; }
  const ModelConfig& config() const { return config_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  const Decoder& decoder() const { return *decoder_; }
  const Weights& weights() const { return decoder_->weights(); }
  const WeightStore& store() const { return store_; }
  const std::vector<std::string>& notices() const { return notices_; }
  const std::vector<std::string>& ignored_keys() const { return ignored_keys_; }    // only describe
  bool has_predictor() const { return static_cast<bool>(weights().predictor_up); }  // of the head

 private:
  Tokenizer read_tokenizer();

  const std::string path_, name_;
  const ModelOptions options_;
  GgufModel file_;
  std::vector<std::string> notices_, ignored_keys_;
  const Architecture& architecture_;
  ModelConfig config_;
  Tokenizer tokenizer_;
  mutable WeightStore store_;
  std::unique_ptr<const Decoder> decoder_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<WeightLoader> loader_;
};

}  // namespace st

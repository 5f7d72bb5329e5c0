// From the paths and settings of a command to an engine that runs.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/args.h"
#include "cli/text_args.h"
#include "engine/engine.h"
#include "study/routing_trace.h"

namespace st {

// Throws Error(kInvalidData) if `path` is a folder, telling what to do with it.
void refuse_folder(const std::string& path);

// The tokenizer of a GGUF file or a Hugging Face folder.
Tokenizer load_tokenizer(const std::string& path);

// Throws the Error that loading `path` would begin with, if it is no model at all.
void check_model_file(const std::string& path);

// Loads the model a command names, with a progress bar, and prints its notices unless told not to
// (they are the same each time). Errors carry the path.
// `text` is encoded on the way, before memory is planned.
// `beside`: memory that counts as well, see EngineOptions. `behind`: somebody waits for the first
// token, so weights of a large model may come behind.
Engine load_engine(const ModelArgs& args, bool tell = true, TextTokens* text = nullptr,
                   std::function<uint64_t(const Model&)> beside = {}, bool behind = false);

// Throws what that would before a weight is read, also where another run might.
void check_engine(const ModelArgs& args, TextTokens* text = nullptr);

// No command writes over what it reads: throws Error(kInvalidUsage) if an output would replace an
// input: the file itself, another part of a split model, any file of a folder. Empty paths mean no
// file. For the start of a command, before anything is read.
void check_outputs(const std::vector<std::string>& outputs, const std::vector<std::string>& inputs);

// The same for a command that runs a model, whose own files are added.
void check_model_outputs(const ModelArgs& args, std::vector<std::string> inputs = {},
                         std::vector<std::string> outputs = {});

// What a trace of this model's routing has. Throws Error(kUnsupported) unless all its layers have
// the same experts.
RoutingShape routing_shape(const Engine& engine);

// --record-routing: does nothing if the path is empty.
class RoutingRecording {
 public:
  explicit RoutingRecording(std::string path) : path_(std::move(path)) {}

  // From now on what this engine routes is recorded. All engines of a recording are of one model,
  // and do not run after it is gone.
  void attach(Engine& engine);
  // The file appears.
  void finish();

 private:
  std::string path_;
  std::optional<RoutingRecorder> recorder_;
};

}  // namespace st

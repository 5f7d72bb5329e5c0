#include "engine/model.h"

#include <algorithm>
#include <utility>

#include "arch/understood.h"
#include "base/error.h"

namespace st {

Model::Model(const std::string& path, ModelOptions options)
    : path_(path),
      name_(printable_path(path)),
      options_(std::move(options)),
      file_(path),
      architecture_(find_architecture(file_.metadata(), options_.architectures)),
      config_(architecture_.read_config(file_, {.gating = options_.gating}, notices_)),
      tokenizer_(read_tokenizer()),
      store_(file_, options_.stream, options_.expert_bundle),
      decoder_(architecture_.load(store_, config_)) {
  if (options_.gating && config_.gating != *options_.gating) {
    fail(ErrorCode::kInvalidUsage, "--moe-gating: models of '{}' have one gating function",
         config_.architecture);
  }
  check_neutral_keys(file_.metadata(), config_);
  refuse_unread_tensors(file_);
  ignored_keys_ = refuse_unread_keys(file_.metadata());
  file_.forget_entries();  // all that matters is in the configuration, the tokenizer and the store
  tokenizer_.forget_texts();
}

Tokenizer Model::read_tokenizer() {
  // Before a vocabulary is made of them that takes seconds.
  const GgufValue* tokens = file_.metadata().find("tokenizer.ggml.tokens");
  const auto* array = tokens == nullptr ? nullptr : std::get_if<GgufArray>(&tokens->value);
  if (array != nullptr && array->count > static_cast<uint64_t>(config_.vocab)) {
    fail(ErrorCode::kInvalidData, "{} tokens for a vocabulary of {} rows", array->count,
         config_.vocab);
  }
  return Tokenizer(read_gguf_vocab(file_.metadata(), &notices_));
}

std::shared_ptr<WeightLoader> Model::begin_weights(int threads) const {
  const std::lock_guard lock(mutex_);
  if (loader_ && loader_->failed() && loader_.use_count() == 1) loader_.reset();
  if (!loader_) loader_ = std::make_shared<WeightLoader>(store_, threads);
  return loader_;
}

void Model::read_weights(int threads, const Progress& progress, const Stop& stop) const {
  std::shared_ptr<WeightLoader> loader = begin_weights(threads - 1);  // this one is the last
  try {
    loader->await_all(progress, stop);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    loader.reset();
    if (loader_.use_count() == 1) loader_.reset();
    throw;
  }
}

Error Model::named(const Error& error) const {
  const std::vector<std::string> parts = gguf_part_names(path_);
  const bool says = std::ranges::any_of(parts, [&](const std::string& part) {
    return std::string_view(error.what()).starts_with(printable_path(part) + ": ");
  });
  return says ? error : error.within(name_);
}

}  // namespace st

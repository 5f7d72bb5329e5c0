// Bundles of the shipped models, and what the tests do with them.
#pragma once

#include <string>
#include <vector>

#include "convert/bundle_file.h"
#include "engine/engine.h"
#include "golden/fixture.h"
#include "support/temporary_folder.h"
#include "support/test_page.h"

namespace st::golden {

// Logits of a few tokens that between them use most experts.
std::vector<float> some_logits(Engine& engine);

// The same with a budget that shrinks from all experts to the fewest, twice there.
struct LimitedLogits {
  std::vector<float> all, half, fewest, again;
};
LimitedLogits limited_logits(const std::string& path, const std::string& expert_bundle = {},
                             uint64_t page = test_page());

bool same_bits(const std::vector<float>& a, const std::vector<float>& b);

// The whole file, and back.
std::string slurp(const std::string& path);
void spill(const std::string& path, const std::string& bytes);

// What the reference engine writes for a Q4_0 model with transposed down matrices.
std::string headerless_bundle(const std::string& gguf);

}  // namespace st::golden

#include "bundle/bundle_fixture.h"

#include <cstring>

#include "arch/names.h"
#include "support/feed_at.h"

namespace st::golden {

std::vector<float> some_logits(Engine& engine) {
  std::vector<Token> ids;
  for (int i = 0; i < 24; ++i) {
    ids.push_back(static_cast<Token>((i * 7919 + 13) % engine.config().vocab));
  }
  const auto logits = engine.evaluate(testkit::feed_at(engine, ids, 0, true));
  return {logits.begin(), logits.end()};
}

LimitedLogits limited_logits(const std::string& path, const std::string& expert_bundle,
                             uint64_t page) {
  constexpr uint64_t kPlenty = uint64_t{8} << 30;
  LimitedLogits out;
  const ModelOptions opened{.expert_bundle = expert_bundle, .stream = true};
  Engine engine(std::make_shared<const Model>(path, opened),
                {.threads = 2, .context = 64, .memory = kPlenty, .page = page});
  out.all = some_logits(engine);
  const MemoryPlan plan = engine.memory()->plan;
  engine.set_memory(plan.holding(plan.experts / 2));
  out.half = some_logits(engine);
  engine.set_memory(plan.smallest());  // some experts are there, some have to come
  out.fewest = some_logits(engine);
  out.again = some_logits(engine);
  return out;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return !a.empty() && a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::string slurp(const std::string& path) { return read_text_file(path); }

void spill(const std::string& path, const std::string& bytes) {
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(bytes)));
  file.commit();
}

std::string headerless_bundle(const std::string& gguf) {
  const GgufModel model(gguf);
  const auto layers = model.metadata().get_u32("smallthinker.block_count");
  const auto experts = model.metadata().get_u32("smallthinker.expert_count");
  std::string bytes;
  for (uint32_t l = 0; l < layers; ++l) {
    for (uint32_t e = 0; e < experts; ++e) {
      for (const auto name : {names::kFfnUp, names::kFfnGate, names::kFfnDown}) {
        const auto tensor = model.find(names::layer(l, name));
        std::string matrix(tensor.info->bytes / experts, '\0');
        tensor.source->read_at(tensor.info->offset + e * matrix.size(),
                               std::as_writable_bytes(std::span(matrix)));
        matrix.resize((matrix.size() + 4095) / 4096 * 4096);
        bytes += matrix;
      }
    }
  }
  return bytes;
}

}  // namespace st::golden

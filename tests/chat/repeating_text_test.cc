// What lookup is worth: texts of a trained model, with the costs of passes of a large one.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <iterator>

#include "chat/fixture.h"
#include "chat/made_drafts.h"
#include "engine/lookup_drafter.h"
#include "golden/fixture.h"

namespace st::chats {
namespace {

// Drafts by lookup, where passes take what they took with SmallThinker-4B in Q4_0 on two threads of
// a Zen 3 (docs/benchmarks.md).
class LargeModel final : public Drafter {
 public:
  void begin() override { lookup_.begin(); }
  std::span<const Token> draft(std::span<const Token> text, int64_t most) override {
    return lookup_.draft(text, most);
  }
  void timed(int64_t drafted, double) override {
    constexpr double kCosts[] = {1, 1.50, 2.05, 2.98, 3.44, 3.94, 4.43, 4.86};  // by drafted tokens
    const double seconds = 0.025 * kCosts[drafted];
    seconds_ += seconds;
    lookup_.timed(drafted, seconds);
  }
  double seconds() const { return seconds_; }

 private:
  LookupDrafter lookup_;
  double seconds_ = 0;
};

// Tokens per second, as a multiple of those without drafts, of an answer to `prompt`.
double gain(Engine& engine, const std::string& prompt, SessionOptions options, const char* name) {
  const auto model = std::make_shared<LargeModel>();
  options.drafter = model;
  const std::vector<Token> tokens = engine.tokenizer().encode(prompt, true);
  DraftCount drafts;
  const WrittenAnswer written = write_answer(engine, tokens, options, &drafts);
  const auto passes = static_cast<double>(std::ssize(written.tokens) - std::ssize(tokens));
  const double gain = passes * 0.025 / model->seconds();
  std::printf("%s: %.2fx, %lld of %lld drafts in %.0f tokens\n", name, gain,
              static_cast<long long>(drafts.chosen), static_cast<long long>(drafts.drafted),
              passes);
  return gain;
}

std::string valid_text() {
  std::ifstream file(testkit::shipped("valid.txt"));
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(RepeatingText, IsWrittenFaster) {
  Engine engine(golden::converted(golden::kTiny, DType::kQ4_0, true), {.threads = 1});
  const std::string text = valid_text();
  const std::string story = text.substr(0, text.find("\n\nCHAPTER"));
  const std::string again = story + "\n\n" + story + "\n\nOnce upon a time, a cheerful";
  EXPECT_GT(gain(engine, again, greedy(250), "a story told again"), 1.2);
  EXPECT_GT(gain(engine, again, seeded(250), "the same, drawn"), 1.2);
}

}  // namespace
}  // namespace st::chats

#include <cmath>

#include "base/error.h"
#include "cli/args.h"
#include "cli/interrupt.h"
#include "cli/model_args.h"
#include "cli/outputs.h"
#include "cli/prompt.h"
#include "cli/routing_recording.h"
#include "cli/streams.h"
#include "cli/text_tokens.h"
#include "engine/perplexity.h"

namespace st {

int execute(const PerplexityArgs& args) {
  const TextArgs source{.file = args.file, .whole = true};
  check_model_outputs(args.model, {text_file(source)});
  TextTokens text = TextTokens::windows(source, args.windows);
  Engine engine = load_engine(args.model, true, &text);
  RoutingRecording recording(args.model.record_routing);
  recording.attach(engine);
  const GracefulStop graceful;
  const int64_t window = engine.context();
  print_err("{} tokens in windows of {}\n", text.count(), window);
  const auto show = [](const PerplexityResult& r, int64_t windows) {
    print_err("[{}/{}] {:.4f}{}", r.windows, windows, r.perplexity(),
              r.windows % 8 == 0 || r.windows == windows ? "\n" : "  ");
  };
  const PerplexityResult result = perplexity(engine, text.tokens(), window, show, interrupt_stop());
  recording.finish();
  print_out("PPL = {:.4f} +/- {:.4f} ({} tokens scored, all but the first of each window)\n",
            result.perplexity(), result.error(), result.scored);
  if (result.scored_second_half > 0) {
    print_out("PPL = {:.4f} over the second half of each full window ({} tokens)\n",
              result.perplexity_second_half(), result.scored_second_half);
  }
  return kExitOk;
}

}  // namespace st

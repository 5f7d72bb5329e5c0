// What matters to a model in a text: input for `quantize`.
#include "base/error.h"
#include "base/file.h"
#include "cli/args.h"
#include "cli/interrupt.h"
#include "cli/model_args.h"
#include "cli/report.h"
#include "cli/streams.h"
#include "cli/text_args.h"
#include "engine/perplexity.h"
#include "study/importance.h"

namespace st {

int execute(const ImatrixArgs& args) {
  const TextArgs source{.file = args.file, .whole = true};
  check_model_outputs(args.model, {text_file(source)}, {args.outfile});
  TextTokens text = TextTokens::windows(source, args.windows);
  const auto sums = [&](const Model& model) { return Importance::bytes(model, args.output); };
  Engine engine = load_engine(args.model, true, &text, sums);
  const GracefulStop graceful;
  const int64_t window = engine.context();
  const int64_t windows = std::ssize(text.tokens()) / window;
  if (windows == 0) {
    fail(ErrorCode::kInvalidData, "{}: {} tokens, want {} or more, a whole window (-c)",
         printable_path(text.source()), text.count(), window);
  }
  print_err("{} tokens, {} windows of {}\n", text.count(), windows, window);
  Importance importance(engine.model(), args.output);
  engine.observe_inputs(&importance);
  const auto whole = std::span(text.tokens()).first(static_cast<size_t>(windows * window));
  const PerplexityResult result =
      perplexity(engine, whole, window, print_progress, interrupt_stop());
  engine.observe_inputs(nullptr);
  write_imatrix(args.outfile,
                {{text.source()}, static_cast<uint32_t>(windows), static_cast<uint32_t>(window)},
                importance.sums());
  print_out("PPL = {:.4f} +/- {:.4f}\n", result.perplexity(), result.error());
  print_out("importance of {} tensors, from {} tokens\n", importance.sums().size(),
            windows * window);
  if (const auto experts = importance.experts(); experts.unused > 0) {
    print_err("note: {} of {} experts were never chosen, the text says nothing of their weights\n",
              experts.unused, experts.all);
  }
  return kExitOk;
}

}  // namespace st

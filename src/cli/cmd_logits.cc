#include "base/error.h"
#include "cli/args.h"
#include "cli/interrupt.h"
#include "cli/model_args.h"
#include "cli/npy.h"
#include "cli/outputs.h"
#include "cli/prompt.h"
#include "cli/text_tokens.h"

namespace st {

int execute(const LogitsArgs& args) {
  check_model_outputs(args.model, {args.tokens ? "" : text_file(args.text)}, {args.outfile});
  TextTokens text = TextTokens::prompt(args.text);
  Engine engine = load_engine(args.model, true, args.tokens ? nullptr : &text);
  const int64_t V = engine.config().vocab;
  std::vector<Token> tokens = args.tokens ? parse_ids(*args.tokens, V) : text.tokens();
  if (tokens.empty()) {
    const Token bos = engine.tokenizer().vocab().bos;
    if (bos < 0)
      fail(ErrorCode::kInvalidUsage, "the prompt is empty and the model has no BOS token");
    tokens = {bos};
  }
  check_prompt_fits(engine.context(), std::ssize(tokens));
  const GracefulStop graceful;
  NpyFile out(args.outfile, args.all ? static_cast<int64_t>(tokens.size()) : 1, V);
  const auto append = [&](std::span<const float> rows) { out.append(rows); };
  engine.evaluate({engine.cache().create(), tokens, args.all ? Wanted::kAll : Wanted::kLast},
                  append, interrupt_stop());
  out.commit();
  return kExitOk;
}

}  // namespace st

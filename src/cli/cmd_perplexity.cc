// How well a model predicts a text, and how far from another one's its predictions are.
#include <array>
#include <optional>

#include "base/error.h"
#include "cli/args.h"
#include "cli/interrupt.h"
#include "cli/model_args.h"
#include "cli/report.h"
#include "cli/streams.h"
#include "cli/text_args.h"
#include "engine/perplexity.h"
#include "study/kl_divergence.h"
#include "study/saved_logits.h"

namespace st {
namespace {

void print_result(const PerplexityResult& result) {
  print_out("PPL = {:.4f} +/- {:.4f} ({} tokens scored, all but the first of each window)\n",
            result.perplexity(), result.error(), result.scored);
  if (result.scored_second_half > 0) {
    print_out("PPL = {:.4f} over the second half of each full window ({} tokens)\n",
              result.perplexity_second_half(), result.scored_second_half);
  }
}

// Of a text, whose logits are saved if a file is named.
int measure(const PerplexityArgs& args) {
  const TextArgs source{.file = args.file, .whole = true};
  check_model_outputs(args.model, {text_file(source)}, {args.saved_logits});
  TextTokens text = TextTokens::windows(source, args.windows);
  Engine engine = load_engine(args.model, true, &text);
  RoutingRecording recording(args.model.record_routing);
  recording.attach(engine);
  const GracefulStop graceful;
  const int64_t window = engine.context();
  const std::span<const Token> tokens = text.tokens();
  std::optional<SavedLogitsWriter> out;
  std::function<void(const ScoredRow&)> save;
  if (!args.saved_logits.empty()) {
    const SavedLogitsShape shape{window, engine.config().vocab, std::ssize(tokens) / window};
    out.emplace(args.saved_logits, shape,
                tokens.first(static_cast<size_t>(shape.windows * shape.window)));
    save = [&out, shape](const ScoredRow& row) {
      if (row.full && shape.has_row(row.target)) out->add(row.logits);
    };
  }
  print_err("{} tokens in windows of {}\n", text.count(), window);
  const PerplexityResult result =
      perplexity(engine, tokens, window, print_progress, interrupt_stop(), save);
  if (out) out->finish();
  recording.finish();
  print_result(result);
  return kExitOk;
}

void print_estimate(std::string_view what, const Estimate& value, double factor = 1,
                    std::string_view unit = "") {
  print_out("{:<26}{:>12.6f} +/- {:.6f}{}\n", what, factor * value.mean, factor * value.error,
            unit);
}

struct Place {
  double at;
  const char* name;
};
constexpr std::array<Place, 11> kPlaces{{{1, "Maximum"},
                                         {0.999, "99.9%"},
                                         {0.99, "99.0%"},
                                         {0.95, "95.0%"},
                                         {0.9, "90.0%"},
                                         {0.5, "Median"},
                                         {0.1, "10.0%"},
                                         {0.05, "5.0%"},
                                         {0.01, "1.0%"},
                                         {0.001, "0.1%"},
                                         {0, "Minimum"}}};

void print_places(std::string_view what, double factor, std::string_view unit,
                  const std::vector<double>& values) {
  for (size_t i = 0; i < kPlaces.size(); ++i) {
    print_out("{:<26}{:>12.6f}{}\n", fmt::format("{:<7} {}", kPlaces[i].name, what),
              factor * values[i], unit);
  }
}

void print_divergence(KlDivergence& kl) {
  std::array<double, kPlaces.size()> places{};
  for (size_t i = 0; i < places.size(); ++i) places[i] = kPlaces[i].at;
  constexpr double kPercent = 100;
  print_out("{} tokens, the second half of each window\n\n", kl.tokens());
  print_estimate("Mean PPL(Q)", kl.perplexity());
  print_estimate("Mean PPL(base)", kl.base_perplexity());
  print_estimate("Mean ln(PPL(Q)/PPL(base))", kl.log_ratio());
  print_estimate("Mean PPL(Q)/PPL(base)", kl.ratio());
  print_out("\n");
  print_estimate("Mean    KLD", kl.divergence());
  print_places("KLD", 1, "", kl.divergences_at(places));
  print_out("\n");
  print_estimate("Mean    \u0394p", kl.change(), kPercent, " %");
  print_places("\u0394p", kPercent, " %", kl.changes_at(places));
  print_estimate("RMS     \u0394p", kl.root_mean_square_change(), kPercent, " %");
  print_out("\n");
  print_estimate("Same top p", kl.same_best(), kPercent, " %");
}

// Of the text whose logits another model saved.
int compare(const PerplexityArgs& args) {
  check_model_outputs(args.model, {args.saved_logits});
  SavedLogits base(args.saved_logits);  // all that needs memory is there before it is planned
  const SavedLogitsShape shape = base.shape();
  KlDivergence kl(shape.rows());
  ModelArgs model = args.model;
  model.context = shape.window;
  Engine engine = load_engine(model);
  if (engine.config().vocab != shape.vocab) {
    fail(ErrorCode::kInvalidData, "{}: logits of {} tokens, the model's vocabulary has {}",
         printable_path(args.saved_logits), shape.vocab, engine.config().vocab);
  }
  RoutingRecording recording(args.model.record_routing);
  recording.attach(engine);
  const GracefulStop graceful;
  print_err("{} tokens in windows of {}\n", base.tokens().size(), shape.window);
  const auto add = [&](const ScoredRow& row) {
    if (shape.has_row(row.target)) kl.add(base.next(), row.logits, row.next);
  };
  perplexity(engine, base.tokens(), shape.window, print_progress, interrupt_stop(), add);
  recording.finish();
  print_divergence(kl);
  return kExitOk;
}

}  // namespace

int execute(const PerplexityArgs& args) {
  return args.kl_divergence ? compare(args) : measure(args);
}

}  // namespace st

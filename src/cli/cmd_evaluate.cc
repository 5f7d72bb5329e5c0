// What a model makes of a text: its logits.
#include "base/error.h"
#include "base/file.h"
#include "cli/args.h"
#include "cli/interrupt.h"
#include "cli/model_args.h"
#include "cli/streams.h"
#include "cli/text_args.h"

namespace st {
namespace {

// A float32 NumPy array (rows, cols), format version 1.0, that is written as its rows come; the
// file appears with commit(). Throws Error(kIo).
class NpyFile {
 public:
  NpyFile(const std::string& path, int64_t rows, int64_t cols) : file_(path) {
    // Magic, version, then a Python dict padded with spaces so that the data is 64-byte aligned.
    constexpr size_t kPreamble = 10;
    std::string header =
        fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, cols);
    header.resize((kPreamble + header.size() + 1 + 63) / 64 * 64 - kPreamble - 1, ' ');
    header += '\n';
    std::string preamble("\x93NUMPY\x01\x00", 8);
    preamble += static_cast<char>(header.size() & 0xFF);
    preamble += static_cast<char>(header.size() >> 8);

    file_.write(std::as_bytes(std::span(preamble)));
    file_.write(std::as_bytes(std::span(header)));
  }

  void append(std::span<const float> values) { file_.write(std::as_bytes(values)); }
  void commit() { file_.commit(); }

 private:
  AtomicFile file_;
};

}  // namespace

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

#include <fmt/format.h>
#include <sys/stat.h>

#include "base/error.h"
#include "cli/args.h"
#include "cli/prompt.h"
#include "cli/streams.h"
#include "format/gguf_model.h"

namespace st {
namespace {

Tokenizer load_tokenizer(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
    return Tokenizer(read_hf_vocab(path, 0));
  }
  const GgufModel file(path);
  return with_context(printable(path), [&] { return Tokenizer(read_gguf_vocab(file.metadata())); });
}

}  // namespace

int execute(const TokenizeArgs& args) {
  const Tokenizer tokenizer = load_tokenizer(args.model);
  const std::vector<Token> ids = tokenizer.encode(read_text(args.text), args.parse_special);
  if (args.ids) {
    print_out("[{}]\n", fmt::join(ids, ", "));
    return kExitOk;
  }
  for (const Token id : ids) print_out("{:6} '{}'\n", id, printable(tokenizer.piece(id, true)));
  return kExitOk;
}

int execute(const DetokenizeArgs& args) {
  const Tokenizer tokenizer = load_tokenizer(args.model);
  std::string text;
  for (const std::string& id : args.ids) text += id + ' ';
  const std::vector<Token> ids =
      parse_ids(args.ids.empty() ? read_stdin() : text, tokenizer.size());
  const std::string bytes = tokenizer.decode(ids, true);
  write_out(bytes);
  return kExitOk;
}

}  // namespace st

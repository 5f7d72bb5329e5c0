#include <fmt/format.h>

#include "base/error.h"
#include "cli/args.h"
#include "cli/model_args.h"
#include "cli/streams.h"
#include "cli/text_args.h"

namespace st {
int execute(const TokenizeArgs& args) {
  const Tokenizer tokenizer = load_tokenizer(args.model);
  bool any = false;
  std::vector<Token> ids;  // of what was read last
  const auto print = [&] {
    for (const Token id : ids) {
      if (args.ids) {
        print_out("{}{}", any ? ", " : "[", id);
      } else {
        print_out("{:6} '{}'\n", id, printable(tokenizer.piece(id, true)));
      }
      any = true;
    }
    ids.clear();
  };
  TextEncoder encoder(tokenizer, args.parse_special);
  read_text(args.text, [&](std::string_view text) {
    encoder.add(text, ids);
    print();
    return true;
  });
  encoder.finish(ids);
  print();
  if (args.ids) print_out("{}]\n", any ? "" : "[");
  return kExitOk;
}

int execute(const DetokenizeArgs& args) {
  const Tokenizer tokenizer = load_tokenizer(args.model);
  std::string text;
  for (const std::string& id : args.ids) text += id + ' ';
  const std::vector<Token> ids =
      parse_ids(args.ids.empty() ? read_stdin() : text, tokenizer.size());
  const std::string bytes = tokenizer.decode(ids, true);
  args.raw ? write_out_raw(bytes) : write_out(bytes);
  return kExitOk;
}

}  // namespace st

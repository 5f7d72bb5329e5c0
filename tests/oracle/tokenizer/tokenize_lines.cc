// Our side of compare.mjs: tokenize_lines MODEL [--plain | --vocab | --text]
//
// Reads one JSON string per line from standard input and prints its token ids, BOS included if the
// vocabulary asks for it, as a JSON array. MODEL: a folder with a tokenizer.json, or a GGUF file.
// --plain: control tokens in the text stay text. --text: prints what the ids decode to, without
// control tokens, instead. --vocab: prints the special ids of the vocabulary.
#include <exception>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "format/gguf_model.h"
#include "text/tokenizer.h"

namespace {

void print_vocab(const st::Tokenizer& tokenizer) {
  const st::Vocab& vocab = tokenizer.vocab();
  const nlohmann::ordered_json json = {{"size", tokenizer.size()},
                                       {"bos", vocab.bos},
                                       {"eos", vocab.eos},
                                       {"pad", vocab.pad},
                                       {"end", vocab.end_of_generation}};
  std::cout << json.dump() << '\n';
}

void print_lines(const st::Tokenizer& tokenizer, std::string_view mode) {
  for (std::string line; std::getline(std::cin, line);) {
    const auto text = nlohmann::json::parse(line).get<std::string>();
    st::TextEncoder encoder(tokenizer, mode != "--plain");
    std::vector<st::Token> ids;
    encoder.add(text, ids);
    encoder.finish(ids);
    const nlohmann::json answer =
        mode == "--text" ? nlohmann::json(tokenizer.decode(ids, false)) : nlohmann::json(ids);
    std::cout << answer.dump() << '\n';
  }
}

st::Vocab read_vocab(const std::string& model) {
  if (std::filesystem::is_directory(model)) return st::read_hf_vocab(model, 0);
  return st::read_gguf_vocab(st::GgufModel(model).metadata());
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc == 3 ? argv[2] : "";
  const bool known = mode == "--plain" || mode == "--vocab" || mode == "--text";
  if (argc < 2 || argc > 3 || (argc == 3 && !known)) {
    std::cerr << "usage: tokenize_lines MODEL [--plain | --vocab | --text]\n";
    return 64;
  }
  try {
    const st::Tokenizer tokenizer(read_vocab(argv[1]));
    mode == "--vocab" ? print_vocab(tokenizer) : print_lines(tokenizer, mode);
  } catch (const std::exception& e) {
    std::cerr << "error: " << e.what() << '\n';
    return 65;
  }
  return 0;
}

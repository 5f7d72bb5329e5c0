// Our side of compare.mjs: tokenize_lines FOLDER [--plain | --vocab]
//
// Reads one JSON string per line from standard input and prints its token ids as a JSON array.
// FOLDER holds a tokenizer.json. --plain: control tokens in the text stay text. --vocab: prints the
// special ids of the vocabulary instead.
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

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

void print_tokens(const st::Tokenizer& tokenizer, bool parse_special) {
  for (std::string line; std::getline(std::cin, line);) {
    const auto text = nlohmann::json::parse(line).get<std::string>();
    std::cout << nlohmann::json(tokenizer.encode(text, parse_special)).dump() << '\n';
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc == 3 ? argv[2] : "";
  if (argc < 2 || argc > 3 || (argc == 3 && mode != "--plain" && mode != "--vocab")) {
    std::cerr << "usage: tokenize_lines FOLDER [--plain | --vocab]\n";
    return 64;
  }
  try {
    const st::Tokenizer tokenizer(st::read_hf_vocab(argv[1], 0));
    if (mode == "--vocab") {
      print_vocab(tokenizer);
    } else {
      print_tokens(tokenizer, mode != "--plain");
    }
  } catch (const std::exception& e) {
    std::cerr << "error: " << e.what() << '\n';
    return 65;
  }
  return 0;
}

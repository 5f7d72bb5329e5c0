// Bytes as tokenizer.json. A vocabulary that a tokenizer accepts must give back the text it takes.
#include "fuzz.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

using namespace st;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::allow_errors([&] {
    const Tokenizer tokenizer(
        parse_hf_vocab({.tokenizer = std::string(fuzz::text_of(data, size))}, 0));
    const std::string text = "The cat's  hat, \t\n\xff 12 <|im_end|>";
    fuzz::require(tokenizer.decode(tokenizer.encode(text, false), true) == text);
  });
  return 0;
}

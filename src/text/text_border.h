// Where a text may be cut so that its parts have the tokens of the whole.
#pragma once

#include <cstddef>
#include <string_view>

namespace st {

// The last place at or before `most` where a piece of the pre-tokenizer's ends whatever comes
// before and after, and where nothing composes across in NFC; 0 if there is none. Behind a word,
// a number or a line, that is, as far as it can be told from two characters. It need not be the
// border of a special token. REQUIRES: most <= text.size().
size_t last_border(std::string_view text, size_t most);

}  // namespace st

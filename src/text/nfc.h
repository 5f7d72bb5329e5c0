// Unicode normalisation form C, as Qwen2's tokenizer applies it before anything else.
#pragma once

#include <string>
#include <string_view>

namespace st {

// `text` in NFC: a view of `text` itself if nothing can change, else of `buffer`.
// O(n log n) for any input, also for megabytes of combining marks in the worst order.
// REQUIRES: text is well-formed UTF-8.
std::string_view nfc(std::string_view text, std::string& buffer);

}  // namespace st

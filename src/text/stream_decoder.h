// Cuts a stream of token bytes at character boundaries, so that half a character is never printed.
#pragma once

#include <string>
#include <string_view>

namespace st {

class StreamDecoder {
 public:
  // Takes the next bytes; returns what can be shown now. Bytes that may be the beginning of a
  // character (at most 3) are held back; bytes that can never be part of one become U+FFFD.
  std::string push(std::string_view bytes);
  // The end of the stream: an unfinished character becomes one U+FFFD.
  std::string finish();

 private:
  std::string pending_;
};

}  // namespace st

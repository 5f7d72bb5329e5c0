// What happens to a text before byte-pair merges: it is normalised, and cut into the pieces that
// merges never cross.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

struct pcre2_real_code_8;
struct pcre2_real_match_data_8;
struct pcre2_real_match_context_8;

namespace st {

// `text` in Unicode's normalisation form C, as Qwen2's tokenizer applies it: a view of `text`
// itself if nothing can change, else of `buffer`. O(n log n) for any input, also for megabytes of
// combining marks in the worst order. REQUIRES: text is well-formed UTF-8.
std::string_view nfc(std::string_view text, std::string& buffer);

// Qwen2's pattern, word for word as in tokenizer.json.
inline constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

// The compiled pattern; immutable, shared by all threads.
class Pretokenizer {
 public:
  // `name` is a value of tokenizer.ggml.pre; throws Error(kUnsupported) unless it is known. Without
  // `jit`, or where the system forbids it, the pattern is interpreted, with the same result.
  explicit Pretokenizer(std::string_view name, bool jit = true);

  // What one thread needs for matching. Must not outlive the Pretokenizer.
  class Scanner {
   public:
    explicit Scanner(const Pretokenizer& pretokenizer);
    // Where the piece that begins at `begin` ends. Time and stack do not depend on what follows a
    // piece, except for the run of white space it is part of.
    // REQUIRES: text is well-formed UTF-8; begin < text.size() is a character boundary.
    size_t piece_end(std::string_view text, size_t begin);

   private:
    struct Free {
      void operator()(pcre2_real_match_data_8* data) const;
      void operator()(pcre2_real_match_context_8* context) const;
    };
    const pcre2_real_code_8* code_;
    std::unique_ptr<pcre2_real_match_data_8, Free> data_;
    std::unique_ptr<pcre2_real_match_context_8, Free> context_;
  };

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };
  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

// Where a text may be cut so that what stands on both sides has the tokens of the whole: the last
// place at or before `most` where a piece of the pre-tokenizer's ends whatever comes
// before and after, and where nothing composes across in NFC; 0 if there is none. Behind a word,
// a number or a line, that is, as far as it can be told from two characters. It need not be the
// border of a special token. REQUIRES: most <= text.size().
size_t last_border(std::string_view text, size_t most);

}  // namespace st

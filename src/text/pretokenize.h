// Cuts text into the pieces that byte-pair merges never cross.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

struct pcre2_real_code_8;
struct pcre2_real_match_data_8;
struct pcre2_real_match_context_8;

namespace st {

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

}  // namespace st

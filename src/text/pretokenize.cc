#include "text/pretokenize.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cstdint>
#include <new>
#include <string>

#include "base/error.h"

namespace st {
namespace {

// kQwen2Pattern with \s and \S spelled out as Unicode's White_Space, which is what Oniguruma, the
// engine of Hugging Face's tokenizers, takes them for. PCRE2's own \s has U+180E in addition.
std::string qwen2_pattern() {
  const std::string space =
      R"(\t-\r\x20\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
  return R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^)" + space +
         R"(\p{L}\p{N}]+[\r\n]*|[)" + space + R"(]*[\r\n]+|[)" + space + R"(]+(?![^)" + space +
         R"(])|[)" + space + "]+";
}

}  // namespace

void Pretokenizer::Free::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }
void Pretokenizer::Scanner::Free::operator()(pcre2_real_match_data_8* data) const {
  pcre2_match_data_free(data);
}
void Pretokenizer::Scanner::Free::operator()(pcre2_real_match_context_8* context) const {
  pcre2_match_context_free(context);
}

Pretokenizer::Pretokenizer(std::string_view name, bool jit) {
  if (name != "qwen2") {
    fail(ErrorCode::kUnsupported, "pre-tokenizer '{}': only 'qwen2' is supported", printable(name));
  }
  const std::string pattern = qwen2_pattern();
  int error = 0;
  size_t offset = 0;
  code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                            PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error, &offset, nullptr));
  if (code_ == nullptr) {
    fail(ErrorCode::kUnsupported, "this PCRE2 has no Unicode support (error {} at {})", error,
         offset);
  }
  if (jit) pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);  // on failure: interpreted
}

Pretokenizer::Scanner::Scanner(const Pretokenizer& pretokenizer)
    : code_(pretokenizer.code_.get()),
      data_(pcre2_match_data_create(1, nullptr)),
      context_(pcre2_match_context_create(nullptr)) {
  if (data_ == nullptr || context_ == nullptr) throw std::bad_alloc();
  // The default limit would refuse long runs of spaces, which this pattern scans in linear time.
  pcre2_set_match_limit(context_.get(), UINT32_MAX);
}

size_t Pretokenizer::Scanner::piece_end(std::string_view text, size_t begin) {
  const auto match = [&](uint32_t options) {
    return pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), begin,
                       PCRE2_NO_UTF_CHECK | options, data_.get(), context_.get());
  };
  int result = match(0);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_JIT);
  const size_t end = result > 0 ? pcre2_get_ovector_pointer(data_.get())[1] : begin;
  // Some alternative of the pattern takes every character, so this is a lack of memory.
  if (end <= begin) fail(ErrorCode::kOutOfMemory, "pre-tokenizer: match error {}", result);
  return end;
}

}  // namespace st

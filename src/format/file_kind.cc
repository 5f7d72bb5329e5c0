#include "format/file_kind.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace st {
namespace {

using namespace std::string_view_literals;

constexpr size_t kBeginning = 512;  // a header of tar

struct Magic {
  std::string_view bytes, kind;
};

constexpr Magic kMagics[] = {
    {"version https://git-lfs"sv, "a Git LFS pointer, not the file itself: run 'git lfs pull'"sv},
    {"GGUF"sv, "a GGUF file"sv},
    {"lmgg"sv, "a GGML file, older than GGUF: convert the model again"sv},
    {"fmgg"sv, "a GGML file, older than GGUF: convert the model again"sv},
    {"tjgg"sv, "a GGML file, older than GGUF: convert the model again"sv},
    {"algg"sv, "a GGML adapter, older than GGUF"sv},
    {"\x1f\x8b"sv, "a gzip archive: unpack it first"sv},
    {"\xfd\x37zXZ\0"sv, "an xz archive: unpack it first"sv},
    {"\x28\xb5\x2f\xfd"sv, "a zstd archive: unpack it first"sv},
    {"BZh"sv, "a bzip2 archive: unpack it first"sv},
    {"7z\xbc\xaf\x27\x1c"sv, "a 7z archive: unpack it first"sv},
    {"\x80\x02"sv, "a Python pickle, perhaps of PyTorch"sv},
};

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// The first word of markup decides, in any case; a byte order mark may come before it.
bool is_html(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  return std::ranges::any_of(std::initializer_list{"<!doctype html"sv, "<html"sv, "<head"sv},
                             [&](std::string_view word) {
                               return text.size() >= word.size() &&
                                      std::ranges::equal(text.substr(0, word.size()), word, {},
                                                         [](char c) { return std::tolower(c); });
                             });
}

// A length of eight bytes and the JSON it is the length of.
bool is_safetensors(std::string_view text) {
  uint64_t length = 0;
  if (text.size() <= sizeof length) return false;
  std::memcpy(&length, text.data(), sizeof length);
  return length >= 2 && length <= 100'000'000 && text[sizeof length] == '{';
}

// PyTorch's zips begin with an entry FOLDER/data.pkl.
std::string_view zip_kind(std::string_view text) {
  constexpr size_t kNameAt = 30;
  const std::string_view name = text.substr(std::min(kNameAt, text.size()));
  return name.substr(0, 256).find("/data.pkl") != name.npos
             ? "a PyTorch file: convert reads safetensors"
             : "a zip archive: unpack it first";
}

bool is_text(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return is_space(c) || (c >= ' ' && c < 0x7f); });
}

[[noreturn]] void fail_with_kind(std::string_view want, const std::string& kind) {
  if (kind.empty()) fail(ErrorCode::kInvalidData, "not {}", want);
  fail(ErrorCode::kInvalidData, "not {}: it is {}", want, kind);
}

}  // namespace

std::string file_kind(std::string_view text) {
  text = text.substr(0, kBeginning);
  for (const Magic& magic : kMagics) {
    if (text.starts_with(magic.bytes)) return std::string(magic.kind);
  }
  if (text.starts_with("PK\x03\x04")) return std::string(zip_kind(text));
  if (text.substr(std::min<size_t>(257, text.size())).starts_with("ustar")) {
    return "a tar archive: unpack it first";
  }
  if (text.empty()) return "empty: was the download interrupted?";
  if (std::ranges::all_of(text, [](char c) { return c == 0; })) {
    return "zeros where it should begin: was the download interrupted?";
  }
  if (is_html(text)) return "an HTML page: the download failed, or needs you to log in";
  if (is_safetensors(text)) return "a safetensors file: convert makes a GGUF file of its folder";
  if (text.front() == '{') return "a JSON text";
  if (!is_text(text)) return {};
  return fmt::format("a text, '{}': did the download fail?", printable(text, 40));
}

std::string file_kind(const ByteSource& source) {
  std::string beginning(std::min<uint64_t>(kBeginning, source.size()), '\0');
  source.read_at(0, std::as_writable_bytes(std::span(beginning)));
  return file_kind(beginning);
}

void fail_wrong_kind(std::string_view want, const ByteSource& source) {
  fail_with_kind(want, file_kind(source));
}

void fail_wrong_kind(std::string_view want, std::string_view beginning) {
  fail_with_kind(want, file_kind(beginning));
}

}  // namespace st

// In place of http_curl.cc and digest.cc where libcurl or libnettle was not there at build time.
#include "base/error.h"
#include "hub/digest.h"
#include "hub/http.h"

namespace st {
namespace {

[[noreturn]] void fail_without() {
  fail(ErrorCode::kUnsupported,
       "this program was built without libcurl or libnettle and downloads nothing: download the "
       "file otherwise and give its path");
}

}  // namespace

struct Digest::State {};

Digest::Digest(std::string wanted, uint64_t size) : wanted_(std::move(wanted)), size_(size) {
  fail_without();
}
Digest::~Digest() = default;
void Digest::add(std::span<const std::byte>) { fail_without(); }
void Digest::restart() { fail_without(); }
bool Digest::matches() { fail_without(); }

std::unique_ptr<Http> make_http() { fail_without(); }

}  // namespace st

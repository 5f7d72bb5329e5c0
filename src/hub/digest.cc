#include "hub/digest.h"

#include <fmt/format.h>
#include <nettle/sha1.h>
#include <nettle/sha2.h>

#include <array>
#include <vector>

namespace st {

// One of them is in use.
struct Digest::State {
  sha256_ctx sha256;
  sha1_ctx sha1;
};

namespace {

constexpr size_t kSha1Digits = size_t{2} * SHA1_DIGEST_SIZE;

const uint8_t* pointer(std::span<const std::byte> bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}

}  // namespace

Digest::Digest(std::string wanted, uint64_t size)
    : wanted_(std::move(wanted)), size_(size), state_(std::make_unique<State>()) {
  restart();
}

Digest::~Digest() = default;

void Digest::restart() {
  sha256_init(&state_->sha256);
  sha1_init(&state_->sha1);
  if (wanted_.size() != kSha1Digits) return;
  std::string head = fmt::format("blob {}", size_);
  head.push_back('\0');
  add(std::as_bytes(std::span(head)));
}

void Digest::add(std::span<const std::byte> bytes) {
  if (wanted_.size() == kSha1Digits) {
    sha1_update(&state_->sha1, bytes.size(), pointer(bytes));
  } else {
    sha256_update(&state_->sha256, bytes.size(), pointer(bytes));
  }
}

bool Digest::matches() {
  std::vector<uint8_t> digest(wanted_.size() == kSha1Digits ? SHA1_DIGEST_SIZE
                                                            : SHA256_DIGEST_SIZE);
  if (digest.size() == SHA1_DIGEST_SIZE) {
    sha1_digest(&state_->sha1, digest.size(), digest.data());
  } else {
    sha256_digest(&state_->sha256, digest.size(), digest.data());
  }
  return fmt::format("{:02x}", fmt::join(digest, "")) == wanted_;
}

}  // namespace st

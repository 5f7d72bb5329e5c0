#include "hub/hub.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/error.h"

namespace st {
namespace {

constexpr int kMaxRedirects = 10;
constexpr int kMaxPages = 100;         // of a listing
constexpr uint64_t kLongestWait = 60;  // seconds, whatever a server asks for
constexpr std::chrono::milliseconds kFirstWait{100};
constexpr size_t kStageWidth = 40;  // a bar has to fit beside it

constexpr std::string_view kHttp = "http://", kHttps = "https://";

bool is_plain(char c) {  // in a host
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '.' || c == '-' || c == '_' ||
         c == ':' || c == '[' || c == ']';
}

// As in a URL, but for the slashes.
std::string encoded(std::string_view path) {
  std::string out;
  for (const char c : path) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       std::string_view("-._/").find(c) != std::string_view::npos;
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

bool is_redirect(long status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool is_transient(long status) { return status == 408 || status == 429 || status >= 500; }

// What a hub adds to its status: " (Invalid username or password.)", or nothing.
std::string why_of(const HttpHead& head) {
  return head.message.empty() ? "" : fmt::format(" ({})", printable(head.message));
}

[[noreturn]] void fail_status(const HttpHead& head, bool with_token) {
  const std::string why = why_of(head);
  if (head.status == 401 || head.status == 403) {
    fail(ErrorCode::kNotFound, "not allowed, status {}{}: {}", head.status, why,
         with_token ? "does not exist, or the token in HF_TOKEN may not read it"
                    : "does not exist, or is private or gated: set HF_TOKEN to a token that may "
                      "read it");
  }
  if (head.status == 404) fail(ErrorCode::kNotFound, "does not exist, status 404{}", why);
  fail(ErrorCode::kIo, "the hub answers with status {}{}", head.status, why);
}

}  // namespace

std::string origin_of(std::string_view url) {
  std::string text(url.substr(0, url.find_first_of("/?#", url.find("://") + 3)));
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? c | 32 : c; });
  const bool secure = text.starts_with(kHttps);
  const std::string host =
      secure ? text.substr(kHttps.size()) : text.substr(std::min(kHttp.size(), text.size()));
  if ((!secure && !text.starts_with(kHttp)) || host.empty() ||
      !std::ranges::all_of(host, is_plain)) {
    fail(ErrorCode::kInvalidData, "'{}': want http:// or https:// and the name of a host",
         printable(url));
  }
  const bool port = host.find(':', host.find(']') == host.npos ? 0 : host.find(']')) != host.npos;
  return port ? text : text + (secure ? ":443" : ":80");
}

HubOptions hub_options_from_environment() {
  HubOptions options;
  if (const char* endpoint = std::getenv("HF_ENDPOINT"); endpoint != nullptr && *endpoint != 0) {
    options.endpoint = endpoint;
    while (options.endpoint.ends_with('/')) options.endpoint.pop_back();
    try {
      origin_of(options.endpoint);
    } catch (const Error& e) {
      fail(ErrorCode::kInvalidUsage, "HF_ENDPOINT: {}", e.what());
    }
  }
  if (const char* token = std::getenv("HF_TOKEN"); token != nullptr && *token != 0) {
    options.token = token;
    if (!std::ranges::all_of(options.token, [](char c) { return c > ' ' && c < 0x7f; })) {
      fail(ErrorCode::kInvalidUsage,
           "HF_TOKEN: has a blank or another character that no token has");
    }
  }
  return options;
}

Hub::Hub(HubOptions options) : options_(std::move(options)), http_(make_http()) {}

// An answer that is no redirect. The token goes to the endpoint's own host only, and nothing goes
// from https to http.
HttpResult Hub::follow(std::string url, const Want& want) {
  const std::string home = origin_of(options_.endpoint);
  const std::vector<std::string> headers = want.headers();
  for (int hop = 0; hop <= kMaxRedirects; ++hop) {
    HttpRequest request{.url = url, .headers = headers, .tick = want.tick};
    const std::string origin = origin_of(url);  // or none that we would go to
    if (!options_.token.empty() && origin == home) {
      request.headers.push_back("Authorization: Bearer " + options_.token);
    }
    HttpResult result = http_->get(request, want.take, *options_.stop);
    if (!result.failure.empty() || !is_redirect(result.head.status)) return result;
    const std::string next = result.head.location;
    const bool weaker = url.starts_with(kHttps) && !origin_of(next).starts_with(kHttps);
    if (weaker) {
      fail(ErrorCode::kIo, "is redirected from https to '{}', which is not followed",
           printable(next));
    }
    url = next;
  }
  fail(ErrorCode::kIo, "is redirected more than {} times", kMaxRedirects);
}

void Hub::wait(const HttpResult& result, int failed) {
  const std::chrono::milliseconds asked =
      std::chrono::seconds(std::min(result.head.retry_after, kLongestWait));
  const std::chrono::milliseconds grown = kFirstWait * (1 << (2 * std::min(failed - 1, 4)));
  const std::chrono::milliseconds wait = std::max(asked, grown);
  if (options_.note) {
    const std::string why = result.failure.empty()
                                ? fmt::format("the hub answers with status {}", result.head.status)
                                : result.failure;
    options_.note(fmt::format("{}: trying again in {:.3g} s, try {} of {}", why,
                              static_cast<double>(wait.count()) / 1000, failed + 1,
                              options_.tries));
  }
  for (const auto until = Clock::now() + wait; Clock::now() < until;) {
    options_.stop->check();
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
    std::this_thread::sleep_for(std::clamp(left, std::chrono::milliseconds(1), Stop::kLook));
  }
}

HttpHead Hub::get(const std::string& url, const Want& want) {
  uint64_t most = want.kept();
  for (int failed = 0;;) {
    const HttpResult result = follow(url, want);
    const bool cut = !result.failure.empty();
    const long status = result.head.status;
    if (!cut && !is_transient(status)) {
      // 416: the caller's range is behind the end.
      if (status == 200 || status == 206 || status == 416) return result.head;
      fail_status(result.head, !options_.token.empty());
    }
    failed = want.kept() > most ? 1 : failed + 1;
    most = std::max(most, want.kept());
    if (cut && !result.transient) fail(ErrorCode::kIo, "{}", result.failure);
    if (failed >= options_.tries) {
      const std::string tries = failed == 1 ? "1 try" : fmt::format("{} tries", failed);
      if (cut) fail(ErrorCode::kIo, "{}; given up after {}", result.failure, tries);
      fail(ErrorCode::kIo, "the hub answers with status {}{}; given up after {}", status,
           why_of(result.head), tries);
    }
    wait(result, failed);
  }
}

std::string Hub::get_text(const std::string& url, std::string& next) {
  std::string text;
  Want want;
  want.headers = [&] {
    text.clear();
    return std::vector<std::string>{"Accept: application/json"};
  };
  want.take = [&](const HttpHead&, std::span<const std::byte> bytes) {
    if (bytes.size() > kMaxAnswer - text.size()) {
      fail(ErrorCode::kInvalidData, "answers with more than {} bytes", kMaxAnswer);
    }
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  want.kept = [] { return 0; };
  const HttpHead head = get(url, want);
  if (head.status != 200) fail_status(head, !options_.token.empty());
  next = head.next;
  return text;
}

HubListing Hub::list(const ModelName& name) {
  const std::string api = options_.endpoint + "/api/models/" + name.repository();
  HubListing listing;
  std::string next;
  listing.commit = parse_refs(get_text(api + "/refs", next));
  next = api + "/tree/" + listing.commit + "?recursive=true";
  for (int page = 0; !next.empty(); ++page) {
    if (page == kMaxPages) fail(ErrorCode::kInvalidData, "more than {} pages of files", kMaxPages);
    if (origin_of(next) != origin_of(options_.endpoint)) {
      fail(ErrorCode::kInvalidData, "the list of files goes on at another host, '{}'",
           printable(next));
    }
    const std::vector<HubFile> files = parse_tree(get_text(std::string(next), next));
    listing.files.insert(listing.files.end(), files.begin(), files.end());
  }
  return listing;
}

namespace {

// The bytes of an answer belong behind those of `part`, which begins anew if it has all of them.
void check_place(const HttpHead& head, const HubFile& file, PartFile& part) {
  if (head.status == 200 && part.size() > 0) part.restart();
  const std::optional<uint64_t> total = head.status == 200 ? head.length : head.total;
  if (total && *total != file.size) {
    fail(ErrorCode::kInvalidData, "the hub has {} bytes of it, and announced {}", *total,
         file.size);
  }
  if (head.status == 206 && head.begin != part.size()) {
    fail(ErrorCode::kInvalidData, "the hub sends bytes from {} on, and {} was asked for",
         head.begin.value_or(0), part.size());
  }
}

}  // namespace

void Hub::fetch(const ModelName& name, const std::string& commit, const HubFile& file,
                PartFile& part, uint64_t before, uint64_t total) {
  const std::string url = fmt::format("{}/{}/resolve/{}/{}", options_.endpoint, name.repository(),
                                      commit, encoded(file.path));
  const std::string stage = file.path.substr(file.path.rfind('/') + 1).substr(0, kStageWidth);
  bool placed = false;  // the answer to the last attempt
  Want want;
  want.headers = [&] {
    placed = false;
    if (part.size() == 0) return std::vector<std::string>{};
    return std::vector<std::string>{fmt::format("Range: bytes={}-", part.size())};
  };
  want.tick = [&] {
    if (options_.progress) options_.progress(stage, before + part.size(), total);
  };
  want.take = [&](const HttpHead& head, std::span<const std::byte> bytes) {
    if (!placed) check_place(head, file, part);
    placed = true;
    part.append(bytes);
    want.tick();
  };
  want.kept = [&] { return part.size(); };
  // What an earlier run has left may be wrong; what this one has from the first byte on is as the
  // hub sends it.
  bool resumed = part.size() > 0;
  for (int odd = 0; odd < options_.tries; ++odd) {
    HttpHead head;
    if (part.size() < file.size) head = get(url, want);
    if (part.size() == file.size) {
      if (part.is_right()) return part.finish();
      part.restart();
      if (!std::exchange(resumed, false)) {
        fail(ErrorCode::kInvalidData,
             "the hub sends other bytes than it announced: the checksum "
             "is wrong");
      }
    } else if (head.status == 416) {
      part.restart();
    }
  }
  fail(ErrorCode::kInvalidData, "the hub sends {} of the {} bytes that it announced", part.size(),
       file.size);
}

}  // namespace st

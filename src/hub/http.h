// One GET over HTTP or HTTPS. What it means, and where it leads, is for who asked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/stop.h"

namespace st {

struct HttpRequest {
  std::string url;
  std::vector<std::string> headers;  // "Name: value"
  std::function<void()> tick = {};   // called about once a second, also while nothing comes
};

// What a server says before it sends bytes.
struct HttpHead {
  long status = 0;
  std::string location;            // of a redirect: where to, absolute
  std::optional<uint64_t> length;  // bytes that follow
  // Content-Range: bytes BEGIN-END/TOTAL.
  std::optional<uint64_t> begin, total;
  uint64_t retry_after = 0;  // seconds
  std::string next;          // Link: <NEXT>; rel="next"
  std::string message;       // X-Error-Message: why not
};

// Takes one line of a head, "Name: value" with its line end.
void read_header(std::string_view line, HttpHead& head);

struct HttpResult {
  HttpHead head;
  std::string failure;     // of the network, empty if the answer came whole
  bool transient = false;  // whether it may go better another time
};

class Http {
 public:
  virtual ~Http() = default;
  // Does not follow redirects. `take` gets the bytes of an answer of status 200 or 206 in pieces,
  // with its head, and may throw. Throws Error(kCancelled) soon after `stop` is requested.
  using Take = std::function<void(const HttpHead& head, std::span<const std::byte> bytes)>;
  virtual HttpResult get(const HttpRequest& request, const Take& take, const Stop& stop) = 0;
};

// With certificates verified. Throws Error(kUnsupported) if this program was built without libcurl,
// or the system has none.
std::unique_ptr<Http> make_http();

}  // namespace st

// HTTP by libcurl. It brings twenty libraries along, which cost every start of the program
// 10 milliseconds and 6 MB: so it is loaded by who downloads something.
#include <curl/curl.h>
#include <dlfcn.h>

#include <cstdlib>
#include <exception>

#include "base/error.h"
#include "hub/http.h"

namespace st {
namespace {

constexpr const char* kLibrary = "libcurl.so.4";
constexpr size_t kMaxHeaders = size_t{256} << 10;  // bytes of one answer
constexpr long kConnectSeconds = 30;
constexpr long kStallSeconds = 60;  // without a byte

#ifndef ST_VERSION
#define ST_VERSION "unknown"
#endif

// The functions of libcurl that we call. Stays loaded until the process ends.
class Curl {
 public:
  Curl() : library_(::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL)) {
    if (library_ == nullptr) {
      fail(ErrorCode::kUnsupported, "downloading needs {}, which is not on this system", kLibrary);
    }
    load(global_init, "curl_global_init");
    load(init, "curl_easy_init");
    load(cleanup, "curl_easy_cleanup");
    load(reset, "curl_easy_reset");
    load(setopt, "curl_easy_setopt");
    load(perform, "curl_easy_perform");
    load(getinfo, "curl_easy_getinfo");
    load(strerror, "curl_easy_strerror");
    load(append, "curl_slist_append");
    load(free_all, "curl_slist_free_all");
    if (global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
      fail(ErrorCode::kUnsupported, "{} does not start", kLibrary);
    }
  }

  decltype(&curl_global_init) global_init;
  decltype(&curl_easy_init) init;
  decltype(&curl_easy_cleanup) cleanup;
  decltype(&curl_easy_reset) reset;
  decltype(&::curl_easy_setopt) setopt;
  decltype(&curl_easy_perform) perform;
  decltype(&::curl_easy_getinfo) getinfo;
  decltype(&curl_easy_strerror) strerror;
  decltype(&curl_slist_append) append;
  decltype(&curl_slist_free_all) free_all;

 private:
  template <typename Function>
  void load(Function& function, const char* name) {
    function = reinterpret_cast<Function>(::dlsym(library_, name));
    if (function == nullptr) fail(ErrorCode::kUnsupported, "{} has no {}", kLibrary, name);
  }

  void* library_;
};

const Curl& curl() {
  static const Curl loaded;
  return loaded;
}

// One transfer, as libcurl calls back.
class Transfer {
 public:
  Transfer(CURL* handle, const HttpRequest& request, const Http::Take& take, const Stop& stop)
      : handle_(handle), request_(request), take_(take), stop_(stop) {}

  static size_t on_header(char* text, size_t, size_t bytes, void* self) {
    return static_cast<Transfer*>(self)->header({text, bytes}) ? bytes : 0;
  }
  static size_t on_bytes(char* data, size_t, size_t bytes, void* self) {
    return static_cast<Transfer*>(self)->body(std::as_bytes(std::span(data, bytes))) ? bytes : 0;
  }
  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<Transfer*>(self)->goes_on() ? 0 : 1;
  }

  HttpHead head;
  std::exception_ptr thrown;  // by take() or tick()

 private:
  bool goes_on() {
    if (stop_.requested()) return false;
    if (!request_.tick) return true;
    try {
      request_.tick();
      return true;
    } catch (...) {  // no exception passes through C
      thrown = std::current_exception();
      return false;
    }
  }

  bool header(std::string_view line) {
    if ((header_bytes_ += line.size()) > kMaxHeaders) return false;
    if (line.starts_with("HTTP/")) {  // another one, after 100 Continue
      head = {};
      return true;
    }
    read_header(line, head);
    return true;
  }

  bool body(std::span<const std::byte> bytes) {
    curl().getinfo(handle_, CURLINFO_RESPONSE_CODE, &head.status);
    if (head.status != 200 && head.status != 206) return true;
    try {
      take_(head, bytes);
      return true;
    } catch (...) {  // no exception passes through C
      thrown = std::current_exception();
      return false;
    }
  }

  CURL* handle_;
  const HttpRequest& request_;
  const Http::Take& take_;
  const Stop& stop_;
  size_t header_bytes_ = 0;
};

// Of failures that are not the network's.
bool is_final(CURLcode code) {
  switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_WRITE_ERROR:
      return true;
    default:
      return false;
  }
}

class CurlHttp final : public Http {
 public:
  CurlHttp() : handle_(curl().init()) {
    if (handle_ == nullptr) fail(ErrorCode::kOutOfMemory, "{} does not start", kLibrary);
  }
  ~CurlHttp() override { curl().cleanup(handle_); }
  CurlHttp(const CurlHttp&) = delete;
  CurlHttp& operator=(const CurlHttp&) = delete;

  HttpResult get(const HttpRequest& request, const Take& take, const Stop& stop) override {
    Transfer transfer(handle_, request, take, stop);
    char text[CURL_ERROR_SIZE] = "";
    curl().reset(handle_);  // connections stay
    set_up(transfer, text);
    set(CURLOPT_URL, request.url.c_str());
    curl_slist* headers = nullptr;
    for (const std::string& header : request.headers) {
      headers = curl().append(headers, header.c_str());
    }
    set(CURLOPT_HTTPHEADER, headers);
    const CURLcode code = curl().perform(handle_);
    set(CURLOPT_HTTPHEADER, nullptr);
    curl().free_all(headers);
    stop.check();
    if (transfer.thrown) std::rethrow_exception(transfer.thrown);
    return result(transfer, code, text);
  }

 private:
  template <typename Value>
  void set(CURLoption option, Value value) {
    curl().setopt(handle_, option, value);
  }

  void set_up(Transfer& transfer, char* text) {
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME, kStallSeconds);
    set(CURLOPT_USERAGENT, "smallthinker/" ST_VERSION);
    set(CURLOPT_ERRORBUFFER, text);
    for (const char* variable : {"SSL_CERT_FILE", "CURL_CA_BUNDLE"}) {  // as curl itself
      const char* file = std::getenv(variable);
      if (file == nullptr || *file == 0) continue;
      set(CURLOPT_CAINFO, file);
      break;
    }
    set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
    set(CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
    set(CURLOPT_WRITEFUNCTION, &Transfer::on_bytes);
    set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
    set(CURLOPT_NOPROGRESS, 0L);
    set(CURLOPT_XFERINFOFUNCTION, &Transfer::on_progress);
    set(CURLOPT_XFERINFODATA, static_cast<void*>(&transfer));
  }

  HttpResult result(Transfer& transfer, CURLcode code, const char* text) {
    HttpResult result{.head = std::move(transfer.head)};
    curl().getinfo(handle_, CURLINFO_RESPONSE_CODE, &result.head.status);
    const char* location = nullptr;
    curl().getinfo(handle_, CURLINFO_REDIRECT_URL, &location);
    if (location != nullptr) result.head.location = location;
    if (code != CURLE_OK) {
      result.failure = printable(*text != 0 ? text : curl().strerror(code));
      result.transient = !is_final(code);
    }
    return result;
  }

  CURL* handle_;
};

}  // namespace

std::unique_ptr<Http> make_http() { return std::make_unique<CurlHttp>(); }

}  // namespace st

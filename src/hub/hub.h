// A hub that speaks Hugging Face's protocol: which files a repository has, and their bytes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/stop.h"
#include "hub/http.h"
#include "hub/listing.h"
#include "hub/model_name.h"
#include "hub/part_file.h"

namespace st {

struct HubOptions {
  std::string endpoint = "https://huggingface.co";
  std::string token;  // sent to the endpoint's own host, nowhere else; empty: none
  int tries = 5;      // of a request that fails without a byte, before giving up
  Progress progress;
  std::function<void(std::string_view)> note;  // what a user who waits wants to know
  const Stop* stop = &Stop::never();
};

// With $HF_ENDPOINT and $HF_TOKEN. Throws Error(kInvalidUsage) if one of them cannot be used.
HubOptions hub_options_from_environment();

struct HubListing {
  std::string commit;  // 40 hexadecimal digits
  std::vector<HubFile> files;
};

// All throw Error(kNotFound | kIo | kInvalidData | kCancelled) that does not name the repository.
class Hub {
 public:
  explicit Hub(HubOptions options);

  HubListing list(const ModelName& name);

  // Brings `part` to all bytes of the file, and to its final name if they are the right ones.
  // `before`: bytes of other files done, of `total`, for the progress.
  void fetch(const ModelName& name, const std::string& commit, const HubFile& file, PartFile& part,
             uint64_t before, uint64_t total);

 private:
  // What a request asks for and what becomes of the answer.
  struct Want {
    std::function<std::vector<std::string>()> headers;  // of the next attempt
    Http::Take take;
    std::function<void()> tick;  // as of HttpRequest; may be empty
    // Bytes that are there and need not be asked for again: more of them are worth another try.
    std::function<uint64_t()> kept;
  };
  HttpHead get(const std::string& url, const Want& want);
  HttpResult follow(std::string url, const Want& want);
  std::string get_text(const std::string& url, std::string& next);
  void wait(const HttpResult& result, int failed);

  HubOptions options_;
  std::unique_ptr<Http> http_;
};

// The scheme, host and port of a URL, "https://huggingface.co:443". Throws Error(kInvalidData) of
// what has no plain host: other schemes, users and passwords.
std::string origin_of(std::string_view url);

}  // namespace st

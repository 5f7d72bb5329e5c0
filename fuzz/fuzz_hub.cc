// Bytes as answers of a hub: what is accepted stays within its folder, and is chosen or not.
#include "fuzz.h"
#include "hub/choose.h"
#include "hub/http.h"
#include "hub/hub.h"
#include "hub/model_name.h"

using namespace st;

namespace {

void read_listing(std::string_view text) {
  const std::vector<HubFile> files = parse_tree(text);
  for (const HubFile& file : files) {
    fuzz::require(is_safe_path(file.path) && file.path.find("..") != 0);
    fuzz::require(file.digest.size() == 40 || file.digest.size() == 64);
  }
  const std::vector<ModelFiles> models = find_models(files);
  for (const ModelFiles& model : models) {
    fuzz::require(!model.files.empty() && choose_model(models, model.tag) != nullptr);
  }
  fuzz::require((choose_model(models, "") != nullptr) == !models.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  fuzz::allow_errors([&] { fuzz::require(parse_refs(text).size() == 40); });
  fuzz::allow_errors([&] { read_listing(text); });
  HttpHead head;
  read_header(text, head);
  fuzz::allow_errors([&] { fuzz::require(origin_of(text).find('@') == std::string::npos); });
  if (const auto name = parse_model_name(text)) {
    fuzz::require(parse_model_name(name->text()).has_value());
    fuzz::require(is_safe_path(name->owner) || name->owner[0] == '_');
  }
  return 0;
}

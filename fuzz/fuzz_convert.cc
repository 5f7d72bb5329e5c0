// Bytes as a Hugging Face folder: convert makes a model of it that evaluates a token, or an Error
// says why not. A file is its number in kNames, its length (u32) and its bytes.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "convert/convert.h"
#include "engine.h"

using namespace st;
namespace fs = std::filesystem;

namespace {

constexpr std::array kNames = {
    "config.json",           "tokenizer.json",         "model.safetensors",
    "tokenizer_config.json", "generation_config.json", "model_lm_head.pt"};

std::string new_folder() {
  std::string pattern = "/dev/shm/st-fuzz-XXXXXX";
  fuzz::require(::mkdtemp(pattern.data()) != nullptr);
  return pattern;
}

// Folder of this process; goes when it ends well.
struct Folder {
  const std::string path = new_folder();
  ~Folder() { fs::remove_all(path); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  for (const auto& entry : fs::directory_iterator(folder.path)) fs::remove(entry);
  const std::string_view bytes = fuzz::text_of(data, size);
  for (size_t at = 0; at + 5 <= size;) {
    uint32_t length = 0;
    std::memcpy(&length, data + at + 1, sizeof(length));
    const std::string_view content = bytes.substr(at + 5, length);
    std::ofstream(folder.path + "/" + kNames[data[at] % kNames.size()])
        .write(content.data(), static_cast<std::streamsize>(content.size()));
    at += 5 + content.size();
  }
  const std::string predictor = folder.path + "/" + kNames.back();
  const std::string model = folder.path + "/out.gguf";
  fuzz::allow_errors([&] {
    constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kQ8_0, DType::kQ4_0};
    convert_hf({.folder = folder.path,
                .outfile = model,
                .type = kTypes[size / 2 % 4],
                .transpose_down = size % 2 == 0,
                .predictor = fs::exists(predictor) ? predictor : std::string(),
                .threads = 1});
    fuzz::evaluate(model, size, 1);
  });
  fuzz::require(std::ranges::none_of(fs::directory_iterator(folder.path), [](const auto& entry) {
    return entry.path().extension() == ".tmp";
  }));
  return 0;
}

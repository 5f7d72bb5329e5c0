#include "hub/choose.h"

#include <gtest/gtest.h>

namespace st {
namespace {

std::vector<HubFile> files_named(std::vector<std::string> paths) {
  std::vector<HubFile> files;
  for (std::string& path : paths) files.push_back({std::move(path), 10, ""});
  return files;
}

// Of the model that is chosen; "" if there is none, "/" for a checkpoint.
std::string chosen(std::vector<std::string> paths, std::string_view choice) {
  const std::vector<HubFile> files = files_named(std::move(paths));
  const std::vector<ModelFiles> models = find_models(files);
  const ModelFiles* model = choose_model(models, choice);
  if (model == nullptr) return "";
  return model->is_checkpoint() ? "/" : model->path();
}

TEST(ChooseModel, TakesTheTypeThatIsNamed) {
  const std::vector<std::string> paths = {"M-BF16.gguf",    "M-IQ4_XS.gguf",    "M-Q4_K_M.gguf",
                                          "M-Q8_0.gguf",    "M-UD-Q4_K_M.gguf", "M.i1-Q6_K.gguf",
                                          "big/M-F16.gguf", "M-UD-Q2_K_XL.gguf"};
  for (const auto& [choice, path] : {std::pair{"Q8_0", "M-Q8_0.gguf"},
                                     {"q8_0", "M-Q8_0.gguf"},
                                     {"Q4_K_M", "M-Q4_K_M.gguf"},
                                     {"UD-Q4_K_M", "M-UD-Q4_K_M.gguf"},
                                     {"q6_k", "M.i1-Q6_K.gguf"},
                                     {"F16", "big/M-F16.gguf"},
                                     {"f16", "big/M-F16.gguf"},
                                     {"Q2_K_XL", "M-UD-Q2_K_XL.gguf"},
                                     {"Q2_K", ""},
                                     {"Q4_K", ""},
                                     {"4_K_M", ""},
                                     {"m-q8_0.gguf", "M-Q8_0.gguf"},
                                     {"M-F16.gguf", "big/M-F16.gguf"},
                                     {"big/M-F16.gguf", "big/M-F16.gguf"},
                                     {"M-Q8_0", "M-Q8_0.gguf"}}) {
    EXPECT_EQ(chosen(paths, choice), path) << choice;
  }
}

TEST(ChooseModel, PrefersFourBitsWithoutAName) {
  EXPECT_EQ(chosen({"m-Q8_0.gguf", "m-Q4_0.gguf", "m-Q4_K_M.gguf"}, ""), "m-Q4_K_M.gguf");
  EXPECT_EQ(chosen({"m-Q8_0.gguf", "m-Q4_0.gguf", "m-f16.gguf"}, ""), "m-Q4_0.gguf");
  EXPECT_EQ(chosen({"m-IQ2_XXS.gguf", "m-f16.gguf"}, ""), "m-f16.gguf");
  EXPECT_EQ(chosen({"m-IQ2_XXS.gguf", "model.gguf"}, ""), "model.gguf");
  EXPECT_EQ(chosen({"README.md"}, ""), "");
  EXPECT_EQ(chosen({}, ""), "");
}

TEST(ChooseModel, LeavesOutWhatIsNoModel) {
  EXPECT_EQ(chosen({"mmproj-m-Q4_K_M.gguf", "m-imatrix.gguf", "mtp-m-Q4_0.gguf",
                    "sub/eagle3-m-Q8_0.gguf"},
                   ""),
            "");
  EXPECT_EQ(chosen({"mmproj-m-Q4_K_M.gguf", "m-Q2_K.gguf"}, ""), "m-Q2_K.gguf");
}

TEST(FindModels, HasAllPartsOrNone) {
  const std::vector<HubFile> files =
      files_named({"b/m-Q4_0-00002-of-00002.gguf", "b/m-Q4_0-00001-of-00002.gguf",
                   "m-Q8_0-00001-of-00003.gguf", "m-Q8_0-00003-of-00003.gguf",
                   "x-00003-of-00002.gguf", "x-00000-of-00002.gguf", "-00001-of-00001.gguf"});
  const std::vector<ModelFiles> models = find_models(files);
  ASSERT_EQ(models.size(), 4U);  // those with impossible numbers are files of that name
  const ModelFiles* model = choose_model(models, "Q4_0");
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->tag, "Q4_0");
  EXPECT_EQ(model->bytes, 20U);
  ASSERT_EQ(model->files.size(), 2U);
  EXPECT_EQ(model->files[0].path, "b/m-Q4_0-00001-of-00002.gguf");
  EXPECT_EQ(model->files[1].path, "b/m-Q4_0-00002-of-00002.gguf");
  EXPECT_EQ(choose_model(models, "Q8_0"), nullptr);
}

TEST(FindModels, HasCheckpointsWithWhatIsReadOfThem) {
  std::vector<std::string> paths = {"README.md",
                                    "config.json",
                                    "model-00001-of-00002.safetensors",
                                    "model-00002-of-00002.safetensors",
                                    "model.safetensors.index.json",
                                    "other/model.safetensors",
                                    "tokenizer.json"};
  const auto models = find_models(files_named(paths));
  ASSERT_EQ(models.size(), 1U);
  EXPECT_TRUE(models[0].is_checkpoint());
  std::vector<std::string> found;
  for (const HubFile& file : models[0].files) found.push_back(file.path);
  EXPECT_EQ(found, (std::vector<std::string>{
                       "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                       "model.safetensors.index.json", "tokenizer.json", "config.json"}));
  EXPECT_EQ(chosen(paths, ""), "/");
  EXPECT_EQ(chosen(paths, "safetensors"), "/");
  paths.push_back("m-Q2_K.gguf");
  EXPECT_EQ(chosen(paths, ""), "m-Q2_K.gguf");
  EXPECT_EQ(chosen({"model.safetensors"}, ""), "");  // no config.json
  EXPECT_EQ(chosen({"config.json"}, ""), "");
  EXPECT_EQ(chosen({"config.json", "model-00002-of-00002.safetensors"}, ""), "");
}

}  // namespace
}  // namespace st

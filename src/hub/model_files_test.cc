// SPDX-License-Identifier: Apache-2.0
#include "hub/model_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "io/atomic_file.h"

namespace forge::hub {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

const Repo kRepo{RepoKind::kModel, "owner/name"};

Error::Fields ErrorOf(const std::vector<std::string>& files, const std::vector<std::string>& include = {}) {
  try {
    ChooseModelFiles(kRepo, files, include);
  } catch (const Error& error) {
    return error.fields();
  }
  ADD_FAILURE() << "no error";
  return {};
}

TEST(ChooseModelFiles, TakesWhatForgeReads) {
  EXPECT_THAT(
      ChooseModelFiles(
          kRepo,
          {".gitattributes", "LICENSE", "README.md", "config.json", "generation_config.json", "merges.txt",
           "model.safetensors", "onnx/model.onnx", "onnx/config.json", "pytorch_model.bin", "tokenizer.json",
           "tokenizer_config.json", "vocab.json", "chat_template.jinja", "training_args.bin"},
          {}),
      UnorderedElementsAre("config.json", "generation_config.json", "merges.txt", "model.safetensors",
                           "tokenizer.json", "tokenizer_config.json", "vocab.json", "chat_template.jinja"));
}

TEST(ChooseModelFiles, TakesTheSameWeightsOnce) {
  EXPECT_THAT(ChooseModelFiles(kRepo,
                               {"config.json", "consolidated.safetensors", "model-00001-of-00002.safetensors",
                                "model-00002-of-00002.safetensors", "model.safetensors.index.json"},
                               {}),
              UnorderedElementsAre("config.json", "model-00001-of-00002.safetensors",
                                   "model-00002-of-00002.safetensors", "model.safetensors.index.json"));
  EXPECT_THAT(
      ChooseModelFiles(
          kRepo, {"model.safetensors", "model.fp16.safetensors", "model-00001-of-00001.safetensors"}, {}),
      ElementsAre("model.safetensors"));
  EXPECT_THAT(
      ChooseModelFiles(kRepo, {"adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"}, {}),
      UnorderedElementsAre("adapter_config.json", "adapter_model.safetensors"));
}

TEST(ChooseModelFiles, TakesWhatThePatternsMatchButNoPrograms) {
  const std::vector<std::string> files{"a.Q4_0.gguf", "a.Q8_0.gguf", "sub/b.gguf",
                                       "config.json", "x.bin",       "y.pkl"};
  EXPECT_THAT(ChooseModelFiles(kRepo, files, {"*.gguf"}),
              ElementsAre("a.Q4_0.gguf", "a.Q8_0.gguf", "sub/b.gguf"));
  EXPECT_THAT(ChooseModelFiles(kRepo, files, {"a.Q[48]_0.gguf", "config.json", "*.bin"}),
              ElementsAre("a.Q4_0.gguf", "a.Q8_0.gguf", "config.json"));
  EXPECT_THAT(ErrorOf(files, {"*.onnx"}).what, HasSubstr("no file of owner/name matches"));
  EXPECT_THAT(ErrorOf(files, {"*.pkl"}).what, HasSubstr("nothing to pull"));
}

TEST(ChooseModelFiles, SaysWhatToDoWithOtherRepositories) {
  EXPECT_THAT(ErrorOf({"config.json", "pytorch_model.bin"}).fix, HasSubstr("save_pretrained"));
  EXPECT_THAT(ErrorOf({"config.json", "pytorch_model.bin"}).why,
              HasSubstr("(pytorch_model.bin), which are programs"));
  EXPECT_EQ(ErrorOf({"README.md", "m.Q4_0.gguf", "old.bin"}).fix,
            "forge pull owner/name --include 'm.Q4_0.gguf'");
  EXPECT_THAT(ErrorOf({"README.md"}).why, HasSubstr("none of its 1 files holds weights"));
  EXPECT_THAT(ErrorOf({}).why, HasSubstr("none of its 0 files"));
}

TEST(FindModelIn, TakesOnlyWhatIsWhole) {
  const fs::path folder = fs::temp_directory_path() / ("forge-model-files-" + std::to_string(getpid()));
  const auto put = [&](const std::string& name, const std::string& text = "x") {
    io::WriteFileAtomically(folder / name, text);
  };
  fs::create_directories(folder);
  EXPECT_EQ(FindModelIn(folder), std::nullopt);
  put("config.json");
  put("model-1.safetensors");
  EXPECT_EQ(FindModelIn(folder), std::nullopt);
  put("model.safetensors.index.json",
      R"({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})");
  EXPECT_EQ(FindModelIn(folder), std::nullopt);
  put("m.gguf");
  EXPECT_EQ(FindModelIn(folder), folder / "m.gguf");
  put("model-2.safetensors");
  EXPECT_EQ(FindModelIn(folder), folder);
  put("model.safetensors.index.json", R"({"weight_map": ["../x"]})");
  EXPECT_EQ(FindModelIn(folder), folder / "m.gguf");
  put("n.gguf");
  EXPECT_EQ(FindModelIn(folder), std::nullopt) << "which of the two is for the user to say";
  fs::remove_all(folder);
}

}  // namespace
}  // namespace forge::hub

// SPDX-License-Identifier: Apache-2.0
#include "pipeline/model_reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "io/atomic_file.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ModelReference : public ::testing::Test {
 protected:
  ModelReference() {
    setenv("HF_HUB_CACHE", (folder_ / "cache").c_str(), 1);
    for (const char* name : {"base", "c++", "math", "code", "a+b"}) fs::create_directories(folder_ / name);
    for (const char* name : {"math", "code", "a+b"})
      io::WriteFileAtomically(folder_ / name / "adapter_config.json", "{}");
  }
  ~ModelReference() override {
    fs::remove_all(folder_);
    unsetenv("HF_HUB_CACHE");
  }
  std::string At(const std::string& name) const { return (folder_ / name).string(); }
  std::string ErrorOf(const std::string& name) const {
    try {
      ResolveModel(name, folder_);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
  fs::path folder_ = fs::temp_directory_path() / ("forge-model-reference-" + std::to_string(getpid()));
};

TEST_F(ModelReference, LooksBothSidesOfThePlusUp) {
  EXPECT_EQ(ResolveModel("base+math", folder_), At("base") + "+" + At("math"));
  EXPECT_EQ(ResolveModel("base+" + At("math"), folder_), At("base") + "+" + At("math"));
  EXPECT_EQ(ResolveModel("base+math+code", folder_), At("base") + "+" + At("math") + "+" + At("code"));
  EXPECT_THAT(ErrorOf("base+base"), HasSubstr("no LoRA adapter"));
  EXPECT_THAT(ErrorOf("base+none"), HasSubstr("there is no model none"));
  EXPECT_THAT(ErrorOf("none+math"), HasSubstr("there is no model none"));
  EXPECT_THAT(ErrorOf("+math"), HasSubstr("there is no model +math"));
}

TEST_F(ModelReference, FindsWhatWasPulled) {
  EXPECT_THAT(ErrorOf("owner/name"), HasSubstr("fix: forge pull owner/name"));
  EXPECT_THAT(ErrorOf("owner/name@v1"), HasSubstr("fix: forge pull owner/name@v1"));
  EXPECT_THAT(ErrorOf("qwen2"), HasSubstr("fix: forge pull Qwen/Qwen2-1.5B-Instruct"));
  const std::string commit(40, 'a');
  const auto pulled = [&](const std::string& name) {
    const fs::path repository = folder_ / "cache" / ("models--" + name),
                   snapshot = repository / "snapshots" / commit;
    fs::create_directories(snapshot);
    fs::create_directories(repository / "refs");
    io::WriteFileAtomically(repository / "refs/main", commit);
    io::WriteFileAtomically(snapshot / "config.json", "{}");
    return snapshot;
  };
  const fs::path snapshot = pulled("owner--name"), qwen = pulled("Qwen--Qwen2-1.5B-Instruct");
  EXPECT_THAT(ErrorOf("owner/name"), HasSubstr("no whole copy")) << "it has a config and no weights";
  for (const fs::path& folder : {snapshot, qwen}) io::WriteFileAtomically(folder / "model.safetensors", "");
  EXPECT_EQ(ResolveModel("owner/name", folder_), snapshot);
  EXPECT_EQ(ResolveModel("owner/name@" + commit, folder_), snapshot);
  EXPECT_EQ(ResolveModel("owner/name+math", folder_), snapshot.string() + "+" + At("math"));
  EXPECT_EQ(ResolveModel("qwen2", folder_), qwen);
  EXPECT_EQ(ShortNameOf(ResolveModel("owner/name+math", folder_)), "name+math");
  EXPECT_EQ(ShortNameOf(qwen / ""), "Qwen2-1.5B-Instruct");
  fs::create_directories(folder_ / "name");
  EXPECT_EQ(ResolveModel("owner/name", folder_), folder_ / "name") << "the models folder comes first";
}

TEST_F(ModelReference, KeepsNamesWithAPlusWhole) {
  EXPECT_EQ(ResolveModel("c++", folder_), folder_ / "c++");
  const fs::path path = ResolveModel("c+++a+b", folder_);
  const ModelParts parts = PartsOf(path);
  EXPECT_EQ(parts.base, folder_ / "c++");
  EXPECT_THAT(parts.adapters, ElementsAre(folder_ / "a+b"));
  EXPECT_EQ(ShortNameOf(path), "c+++a+b");
}

TEST_F(ModelReference, IsTakenApartInTheOrderOfAdding) {
  const ModelParts parts = PartsOf(ResolveModel("base+code+math", folder_));
  EXPECT_EQ(parts.base, folder_ / "base");
  EXPECT_THAT(parts.adapters, ElementsAre(folder_ / "code", folder_ / "math"));
  EXPECT_EQ(ShortNameOf(folder_ / "base/"), "base");
  EXPECT_TRUE(PartsOf("nothing+at+all").adapters.empty());
  EXPECT_TRUE(PartsOf(At("none") + "+" + At("math")).adapters.empty());
  const fs::path here = fs::current_path();
  fs::current_path(folder_);
  EXPECT_EQ(PartsOf("base+math").base, "base");
  fs::create_directories("base+math");
  EXPECT_EQ(PartsOf("base+math").base, "base+math");
  fs::current_path(here);
}

TEST_F(ModelReference, RefusesAnAdapterAloneAndOtherFiles) {
  const auto error_of = [](const fs::path& path) -> std::string {
    try {
      CheckIsModel(path);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(error_of(folder_ / "math"), HasSubstr("name the base model before it: BASE+" + At("math")));
  EXPECT_THAT(error_of(folder_ / "x.bin"), HasSubstr("a Python pickle"));
  EXPECT_THAT(error_of(folder_ / "x.safetensors"), HasSubstr("give its folder: " + folder_.string()));
  EXPECT_EQ(error_of(folder_ / "x.gguf"), "no error");
}

}  // namespace
}  // namespace forge::pipeline

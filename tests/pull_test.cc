// SPDX-License-Identifier: Apache-2.0
// forge pull as a user runs it, against a hub in this process.
#include <gmock/gmock.h>
#include <stdlib.h>

#include "cli_fixture.h"
#include "hub/testing_hub.h"

namespace forge {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::Outcome;

class PullProgram : public Cli {
 protected:
  void SetUp() override {
    Cli::SetUp();
    hub_ = std::make_unique<hub::testing::Hub>(folder_ / "server");
    const fs::path model = MakeModel("model");
    for (const auto& entry : fs::directory_iterator(model))
      hub_->Add(entry.path().filename(), io::ReadFile(entry.path()),
                entry.path().extension() == ".safetensors");
    hub_->Add("pytorch_model.bin", "pickle", true);
    setenv("HF_ENDPOINT", hub_->url().c_str(), 1);
    setenv("HF_HOME", Path("home").c_str(), 1);
    for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH",
                             "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "http_proxy"})
      unsetenv(name);
  }
  std::unique_ptr<hub::testing::Hub> hub_;
};

TEST_F(PullProgram, PrintsTheFolderAndTheNameThenWorksEverywhere) {
  EXPECT_EQ(Run({"inspect", "owner/name"}).code, 3);
  const Outcome pulled = Run({"pull", "owner/name"});
  EXPECT_EQ(pulled.code, 0) << pulled.err;
  const std::string snapshot = Path("home/hub/models--owner--name/snapshots/" + hub::testing::kCommit);
  EXPECT_EQ(pulled.out, snapshot + "\n");
  EXPECT_THAT(pulled.err, HasSubstr("owner/name at 0123456789ab: "));
  EXPECT_FALSE(fs::exists(snapshot + "/pytorch_model.bin"));
  EXPECT_EQ(Run({"inspect", "owner/name"}).code, 0);
  EXPECT_EQ(Run({"generate", "owner/name@main", "--prompt", "x", "--max-new-tokens", "1"}).code, 0);
}

TEST_F(PullProgram, GivesOneJsonObject) {
  Run({"pull", "owner/name", "--include", "config.json"});
  const Outcome pulled = Run({"pull", "owner/name", "--json"});
  ASSERT_EQ(pulled.code, 0) << pulled.err;
  const io::Json report = io::Json::parse(pulled.out);
  EXPECT_EQ(report["commit"], hub::testing::kCommit);
  for (const io::Json& file : report["files"]) {
    EXPECT_EQ(file["was_there"], file["name"] == "config.json") << file;
    EXPECT_EQ(file.contains("sha256"), file["name"] == "model.safetensors") << file;
  }
}

TEST_F(PullProgram, MakesAFolderOfLinksOrCopies) {
  ASSERT_EQ(Run({"pull", "owner/name", "--dir", Path("models/linked")}).code, 0);
  EXPECT_TRUE(fs::is_symlink(Path("models/linked")));
  ASSERT_EQ(Run({"pull", "owner/name", "--dir", Path("models/linked")}).code, 0) << "a link is replaced";
  ASSERT_EQ(Run({"pull", "owner/name", "--dir", Path("models/copied"), "--copy"}).code, 0);
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(Path("models/copied/model.safetensors"))));
  EXPECT_EQ(Run({"inspect", "linked", "--models-dir", Path("models")}).code, 0);
  EXPECT_EQ(Run({"inspect", "copied", "--models-dir", Path("models")}).code, 0);
  const Outcome taken = Run({"pull", "owner/name", "--dir", Path("models/copied")});
  EXPECT_EQ(taken.code, 2);
  EXPECT_THAT(taken.err, HasSubstr("will not replace"));
  EXPECT_EQ(Run({"pull", "owner/name", "--copy"}).code, 2);
}

TEST_F(PullProgram, FetchesDataSets) {
  hub::testing::Hub data(folder_ / "data-server", {hub::RepoKind::kDataset, "openai/gsm8k"});
  data.Add("main/train.jsonl", "{\"question\": \"1+1?\", \"answer\": \"#### 2\"}\n");
  data.Add("main/test.jsonl", "{}\n{}\n");
  setenv("HF_ENDPOINT", data.url().c_str(), 1);
  setenv("FORGE_DATA", Path("sets").c_str(), 1);
  const Outcome pulled = Run({"data", "pull", "gsm8k"});
  EXPECT_EQ(pulled.code, 0) << pulled.err;
  EXPECT_THAT(pulled.out, HasSubstr(Path("sets/gsm8k/test.jsonl") + ": 2 rows, 6 bytes\n"));
  EXPECT_THAT(Run({"data", "pull", "gsm8k"}).out, HasSubstr("6 bytes, was there"));
  const Outcome offline = Run({"data", "pull", "gsm8k", "--offline", "--data-dir", Path("more"), "--json"});
  EXPECT_EQ(offline.code, 0) << offline.err;
  EXPECT_EQ(io::Json::parse(offline.out)[0]["splits"]["train"]["rows"], 1);
  unsetenv("FORGE_DATA");
  EXPECT_THAT(Run({"data", "list"}).out, HasSubstr("gsm8k           openai/gsm8k"));
  for (const std::vector<std::string>& wrong : {std::vector<std::string>{"data"},
                                                {"data", "pull"},
                                                {"data", "push", "gsm8k"},
                                                {"data", "pull", "gsm9k"}})
    EXPECT_EQ(Run(wrong).code, 2) << wrong.back();
}

TEST_F(PullProgram, EndsWithTheKindOfItsTrouble) {
  EXPECT_EQ(Run({"pull", "owner/name", "--offline"}).code, 4);
  EXPECT_EQ(Run({"pull", "../name"}).code, 2);
  EXPECT_EQ(Run({"pull", "owner/name", "--connections", "0"}).code, 2);
  EXPECT_EQ(Run({"pull", "owner/other"}).code, 3);
  setenv("HF_ENDPOINT", "ftp://hub", 1);
  EXPECT_EQ(Run({"pull", "owner/name"}).code, 2);
}

}  // namespace
}  // namespace forge

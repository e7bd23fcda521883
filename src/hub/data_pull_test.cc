// SPDX-License-Identifier: Apache-2.0
#include "hub/data_pull.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "hub/testing_hub.h"
#include "io/parquet.h"

namespace forge::hub {
namespace {

namespace fs = std::filesystem;
using io::testing::ServedAnswer;
using io::testing::ServedRequest;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;

const DataSet kSums{"sums", "owner/sums", {"main"}, {"train", "test"}, "for tests"};

TEST(ChooseDataFiles, FindsTheSplitsWhereRepositoriesHaveThem) {
  EXPECT_THAT(
      ChooseDataFiles(kSums, {"README.md", "main/train-00001-of-00002.parquet", "other/train.jsonl",
                              "main/train-00000-of-00002.parquet", "main/test.jsonl", "main/test-0.parquet",
                              "main/train_old.jsonl", "main/training.parquet"}),
      ElementsAre(Pair("test", ElementsAre("main/test.jsonl")),
                  Pair("train", ElementsAre("main/train-00000-of-00002.parquet",
                                            "main/train-00001-of-00002.parquet"))));
  EXPECT_THAT(ChooseDataFiles(kSums, {"main/partial-train/0000.parquet", "main/test/0001.parquet",
                                      "main/test/0000.parquet", "main/partial-test/0000.parquet"}),
              ElementsAre(Pair("test", ElementsAre("main/test/0000.parquet", "main/test/0001.parquet")),
                          Pair("train", ElementsAre("main/partial-train/0000.parquet"))));
  DataSet plain = kSums;
  plain.configs = {"default"};
  EXPECT_THAT(
      ChooseDataFiles(plain, {"data/train-0.parquet", "test.txt", "x/test.jsonl"}),
      ElementsAre(Pair("test", ElementsAre("test.txt")), Pair("train", ElementsAre("data/train-0.parquet"))));
}

TEST(ChooseDataFiles, GivesAllSplitsOrNothing) {
  EXPECT_THAT(ChooseDataFiles(kSums, {"main/train.jsonl"}), IsEmpty());
  EXPECT_THAT(ChooseDataFiles(kSums, {}), IsEmpty());
  DataSet two = kSums;
  two.configs = {"a", "b"};
  EXPECT_THAT(ChooseDataFiles(two, {"a/train.jsonl", "a/test.jsonl", "b/train.jsonl"}), IsEmpty());
  EXPECT_THAT(ChooseDataFiles(two, {"b/train.jsonl", "b/test.jsonl", "a/train.jsonl", "a/test.jsonl"}),
              ElementsAre(Pair("test", ElementsAre("a/test.jsonl", "b/test.jsonl")),
                          Pair("train", ElementsAre("a/train.jsonl", "b/train.jsonl"))));
}

TEST(KnownDataSets, HaveNamesThatCanBeFolders) {
  for (const DataSet& data_set : KnownDataSets()) {
    EXPECT_TRUE(IsRepoId(data_set.repository)) << data_set.name;
    EXPECT_TRUE(IsSafeFileName(data_set.name) && data_set.name.find('/') == std::string::npos)
        << data_set.name;
    EXPECT_EQ(&FindDataSet(data_set.name), &data_set) << "its name is there twice";
    EXPECT_FALSE(data_set.configs.empty() || data_set.splits.empty()) << data_set.name;
  }
  try {
    FindDataSet("gsm9k");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_EQ(error.fields().fix, "did you mean gsm8k?");
  }
}

class DataPull : public ::testing::Test {
 protected:
  DataPull() { settings_ = hub_.Settings(); }
  ~DataPull() override { fs::remove_all(folder_); }
  DataPullResult PullIt() { return PullDataSet(settings_, kSums, data_, sink_, stop_); }
  Error::Fields ErrorOf() {
    try {
      PullIt();
    } catch (const Error& error) {
      return error.fields();
    }
    ADD_FAILURE() << "no error";
    return {};
  }
  void AddJsonLines() {
    hub_.Add("main/train-00000.jsonl", "{\"q\": \"1+1\"}\n\n{\"q\": \"2+2\"}\r\n");
    hub_.Add("main/train-00001.jsonl", "{\"q\": \"3+3\"}");
    hub_.Add("main/test.txt", "one\n\"two\"\n");
  }

  fs::path folder_ = fs::temp_directory_path() / ("forge-data-pull-" + std::to_string(getpid()));
  fs::path data_ = folder_ / "data";
  testing::Hub hub_{folder_, {RepoKind::kDataset, "owner/sums"}};
  HubSettings settings_;
  testing::LinesSink sink_;
  StopToken stop_;
};

TEST_F(DataPull, WritesJsonLinesAndAReceipt) {
  AddJsonLines();
  const DataPullResult result = PullIt();
  EXPECT_EQ(io::ReadFile(data_ / "sums/train.jsonl"),
            "{\"q\": \"1+1\"}\n{\"q\": \"2+2\"}\n{\"q\": \"3+3\"}\n");
  EXPECT_EQ(io::ReadFile(data_ / "sums/test.jsonl"), "{\"text\":\"one\"}\n{\"text\":\"\\\"two\\\"\"}\n");
  const io::Json receipt = io::ReadJsonFile(data_ / "sums/receipt.json");
  EXPECT_EQ(receipt["repository"], "owner/sums");
  EXPECT_EQ(receipt["revision"], "main");
  EXPECT_EQ(receipt["commit"], testing::kCommit);
  EXPECT_EQ(receipt["files"].size(), 3u);
  EXPECT_EQ(receipt["splits"]["train"]["rows"], 3);
  EXPECT_EQ(receipt["splits"]["train"]["bytes"], fs::file_size(data_ / "sums/train.jsonl"));
  EXPECT_EQ(receipt["splits"]["train"]["sha256"], io::Sha256OfFile(data_ / "sums/train.jsonl"));
  EXPECT_FALSE(result.was_there);
  EXPECT_TRUE(fs::exists(settings_.cache / "datasets--owner--sums/snapshots" / testing::kCommit));
  EXPECT_THAT(hub_.log()[0].target, StartsWith("/api/datasets/owner/sums/revision/"));
}

TEST_F(DataPull, LeavesWhatIsThereAndRepairsWhatIsNot) {
  AddJsonLines();
  PullIt();
  const DataPullResult again = PullIt();
  EXPECT_TRUE(again.was_there);
  ASSERT_EQ(again.splits.size(), 2u);
  EXPECT_EQ(again.splits[0].name, "train");
  EXPECT_EQ(again.splits[0].rows, 3u);
  fs::remove(data_ / "sums/test.jsonl");
  EXPECT_FALSE(PullIt().was_there);
  io::WriteFileAtomically(data_ / "sums/train.jsonl", "{}\n");
  EXPECT_FALSE(PullIt().was_there);
  EXPECT_EQ(PullIt().splits[0].rows, 3u);
  io::Json receipt = io::ReadJsonFile(data_ / "sums/receipt.json");
  receipt["commit"] = std::string(40, 'e');
  io::WriteJsonFile(data_ / "sums/receipt.json", receipt);
  EXPECT_FALSE(PullIt().was_there) << "the hub has another commit";
  settings_.offline = true;
  fs::remove_all(data_);
  const std::size_t before = hub_.log().size();
  EXPECT_EQ(PullIt().splits[0].rows, 3u) << "from the cache";
  EXPECT_EQ(hub_.log().size(), before) << "offline asked the hub";
}

TEST_F(DataPull, DoesNotTouchAFolderThatIsNotItsOwn) {
  AddJsonLines();
  fs::create_directories(data_ / "sums");
  io::WriteFileAtomically(data_ / "sums/mine.jsonl", "{}");
  EXPECT_THAT(ErrorOf().what, HasSubstr("will not write into"));
  EXPECT_EQ(io::ReadFile(data_ / "sums/mine.jsonl"), "{}");
}

TEST_F(DataPull, RefusesLinesThatAreNoObjects) {
  hub_.Add("main/train.jsonl", "{\"q\": 1}\n[1]\n");
  hub_.Add("main/test.jsonl", "{}\n");
  EXPECT_THAT(ErrorOf().what, HasSubstr("main/train.jsonl:2"));
  EXPECT_FALSE(fs::exists(data_ / "sums"));
  EXPECT_TRUE(fs::is_empty(data_)) << "half-written files";
}

TEST_F(DataPull, TakesTheHubsConversionWhereMainHasNoData) {
  if (io::ParquetLibraryPath().empty()) GTEST_SKIP() << "this build has no Parquet reader";
  const fs::path rows = fs::path(FORGE_SOURCE_DIR) / "src/io/testdata/rows.parquet";
  hub_.Add("main/train/0000.parquet", io::ReadFile(rows), true);
  hub_.Add("main/partial-test/0000.parquet", io::ReadFile(rows), true);
  hub_.change = [](const ServedRequest& request, ServedAnswer& answer) {
    if (request.target.ends_with("/revision/main"))
      answer.body = R"({"sha": ")" + std::string(40, 'f') + R"(", "siblings": [{"rfilename": "sums.py"}]})";
  };
  const DataPullResult result = PullIt();
  EXPECT_EQ(result.splits[0].rows, 3u);
  EXPECT_THAT(io::ReadFile(data_ / "sums/train.jsonl"), StartsWith("{\"question\":\"How many?\",\"id\":1,"));
  EXPECT_THAT(sink_.text, HasSubstr("first 5 GB only"));
  EXPECT_EQ(io::ReadJsonFile(data_ / "sums/receipt.json")["revision"], "refs/convert/parquet");
  settings_.offline = true;
  fs::remove_all(data_);
  EXPECT_EQ(PullIt().splits[0].rows, 3u);
}

TEST_F(DataPull, SaysWhenNoRevisionHasTheSplits) {
  hub_.Add("README.md", "text");
  const Error::Fields error = ErrorOf();
  EXPECT_EQ(error.kind, ErrorKind::kInput);
  EXPECT_THAT(error.why, HasSubstr("refs/convert/parquet"));
  EXPECT_FALSE(fs::exists(settings_.cache / "datasets--owner--sums"));
}

}  // namespace
}  // namespace forge::hub

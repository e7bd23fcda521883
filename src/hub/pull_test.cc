// SPDX-License-Identifier: Apache-2.0
#include "hub/pull.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "hub/partial_file.h"
#include "hub/repo_cache.h"
#include "hub/testing_hub.h"

namespace forge::hub {
namespace {

namespace fs = std::filesystem;
using io::testing::ServedAnswer;
using io::testing::ServedRequest;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kCommit;
using ::testing::Not;
using testing::Pattern;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

class PullTest : public ::testing::Test {
 protected:
  PullTest() {
    hub_.Add("README.md", "text");
    hub_.Add("config.json", "{\"model_type\": \"qwen2\"}");
    hub_.Add("tokenizer.json", "{}");
    hub_.Add("model.safetensors", Pattern(10'500), true);
    hub_.Add("pytorch_model.bin", "pickle", true);
    settings_ = hub_.Settings();
  }
  ~PullTest() override { fs::remove_all(folder_); }

  PullResult PullIt(const std::string& name = "owner/name", const std::vector<std::string>& include = {}) {
    return PullModel(settings_, ParseRepoReference(name, RepoKind::kModel), include, sink_, stop_);
  }
  Error::Fields ErrorOf(const std::string& name = "owner/name",
                        const std::vector<std::string>& include = {}) {
    try {
      PullIt(name, include);
    } catch (const Error& error) {
      return error.fields();
    }
    ADD_FAILURE() << "no error";
    return {};
  }
  fs::path Repository() const { return settings_.cache / "models--owner--name"; }
  fs::path Snapshot() const { return Repository() / "snapshots" / kCommit; }
  fs::path Incomplete(const std::string& name) const {
    return Repository() / "blobs" / (hub_.etag(name) + ".forge.incomplete");
  }
  void ExpectWhole(const std::string& name) const {
    EXPECT_EQ(io::ReadFile(Snapshot() / name), hub_.content(name)) << name;
    EXPECT_FALSE(fs::exists(Incomplete(name)));
  }
  static std::vector<std::string> NamesIn(const fs::path& folder) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
    return names;
  }

  fs::path folder_ = fs::temp_directory_path() / ("forge-pull-" + std::to_string(getpid()));
  testing::Hub hub_{folder_};
  HubSettings settings_;
  testing::LinesSink sink_;
  StopToken stop_;
};

TEST_F(PullTest, LaysTheCacheOutAsPythonDoes) {
  const PullResult result = PullIt();
  EXPECT_EQ(result.snapshot, Snapshot());
  EXPECT_EQ(result.commit, kCommit);
  EXPECT_THAT(NamesIn(Snapshot()),
              UnorderedElementsAre("config.json", "tokenizer.json", "model.safetensors"));
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors"}) {
    ExpectWhole(name);
    EXPECT_EQ(fs::read_symlink(Snapshot() / name), "../../blobs/" + hub_.etag(name));
  }
  EXPECT_THAT(NamesIn(Repository() / "blobs"), SizeIs(3));
  EXPECT_EQ(io::ReadFile(Repository() / "refs/main"), kCommit);
  EXPECT_TRUE(
      fs::exists(settings_.cache / ".locks/models--owner--name" / (hub_.etag("config.json") + ".lock")));
  EXPECT_THAT(io::ReadFile(settings_.cache / "CACHEDIR.TAG"),
              StartsWith("Signature: 8a477f597d28d172789f06886806bc55"));
  EXPECT_THAT(sink_.text, HasSubstr("owner/name at 0123456789ab: 3 of 5 files, 10.5 kB; 10.5 kB to fetch"));
  EXPECT_EQ(sink_.last_done, 11);  // 10525 bytes in kB, rounded up
  EXPECT_EQ(sink_.last_total, 11);
}

TEST_F(PullTest, FetchesNothingTwice) {
  PullIt();
  const std::size_t before = hub_.log().size();
  const PullResult again = PullIt();
  for (const PulledFile& file : again.files) EXPECT_TRUE(file.was_there) << file.name;
  const auto log = hub_.log();
  for (std::size_t i = before; i < log.size(); ++i)
    EXPECT_TRUE(log[i].method == "HEAD" || log[i].target.starts_with("/api/")) << log[i].target;
  EXPECT_THAT(hub_.large_log(), SizeIs(1));
  EXPECT_THAT(sink_.text, HasSubstr("all in the cache"));
}

TEST_F(PullTest, SendsTheTokenToTheHubOnly) {
  settings_.token = "hf_secret";
  PullIt();
  for (const ServedRequest& request : hub_.log())
    EXPECT_EQ(request.headers.at("authorization"), "Bearer hf_secret") << request.target;
  ASSERT_THAT(hub_.large_log(), SizeIs(1));
  EXPECT_FALSE(hub_.large_log()[0].headers.contains("authorization"));
}

TEST_F(PullTest, GoesOnAfterACut) {
  std::atomic<int> cuts = 3;
  hub_.change_large = [&](const ServedRequest&, ServedAnswer& answer) {
    if (cuts-- > 0) answer.cut_after = 3000;
  };
  PullIt();
  ExpectWhole("model.safetensors");
  EXPECT_THAT(hub_.ranges(),
              ElementsAre("bytes=0-10499", "bytes=3000-10499", "bytes=6000-10499", "bytes=9000-10499"));
  EXPECT_THAT(hub_.waits(), ElementsAre(1, 1, 1));  // each try brought bytes, so the wait does not grow
}

TEST_F(PullTest, GoesOnWhereAnEndedCallLeftOff) {
  settings_.retry.attempts = 1;
  settings_.connections = 1;
  hub_.change_large = [](const ServedRequest&, ServedAnswer& answer) { answer.cut_after = 4000; };
  const Error::Fields error = ErrorOf();
  EXPECT_EQ(error.kind, ErrorKind::kEnvironment);
  EXPECT_THAT(error.fix, HasSubstr("the same command goes on"));
  EXPECT_TRUE(fs::exists(Incomplete("model.safetensors")));
  EXPECT_FALSE(fs::exists(Repository() / "refs/main")) << "half a snapshot must have no name";
  hub_.change_large = nullptr;
  PullIt();
  ExpectWhole("model.safetensors");
  EXPECT_THAT(hub_.ranges(), ElementsAre("bytes=0-10499", "bytes=4000-10499"));
  EXPECT_THAT(sink_.text, HasSubstr("4 kB came before"));
}

TEST_F(PullTest, FetchesRangesOnSeveralConnections) {
  settings_.segment_bytes = 4000;
  PullIt();
  ExpectWhole("model.safetensors");
  EXPECT_THAT(hub_.ranges(), UnorderedElementsAre("bytes=0-3999", "bytes=4000-7999", "bytes=8000-10499"));
  EXPECT_EQ(hub_.ranges()[0], "bytes=0-3999") << "the first shows whether there are ranges";
}

// Files that came in full before are only checked, so the first threads end while the last are being started.
TEST_F(PullTest, EndsWhenConnectionsFindNothingLeftToDo) {
  settings_.connections = 60;
  std::vector<std::string> names;
  for (int i = 0; i < 60; ++i) names.push_back("small-" + std::to_string(i) + ".txt");
  for (const std::string& name : names) hub_.Add(name, name);
  io::CreateFolders(Repository() / "blobs");
  for (const std::string& name : names)
    PartialFile(Incomplete(name), name.size(), 100).Write(0, std::as_bytes(std::span(name)));
  PullIt("owner/name", {"small-*"});
  for (const std::string& name : names) ExpectWhole(name);
}

TEST_F(PullTest, ResumesEachRange) {
  settings_.segment_bytes = 4000;
  settings_.retry.attempts = 1;
  settings_.connections = 1;
  hub_.change_large = [](const ServedRequest& request, ServedAnswer& answer) {
    if (request.headers.at("range") == "bytes=4000-7999") answer.cut_after = 100;
  };
  ErrorOf();
  hub_.change_large = nullptr;
  settings_.segment_bytes = 5000;  // what was begun keeps its ranges
  PullIt();
  ExpectWhole("model.safetensors");
  EXPECT_THAT(hub_.ranges(),
              ElementsAre("bytes=0-3999", "bytes=4000-7999", "bytes=4100-7999", "bytes=8000-10499"));
}

/// A server that gives the whole file whatever is asked for.
void IgnoreRanges(const std::string& content, ServedAnswer& answer) { answer = {.body = content}; }

TEST_F(PullTest, TakesTheWholeFileFromAServerWithoutRanges) {
  settings_.segment_bytes = 4000;
  hub_.change_large = [&](const ServedRequest&, ServedAnswer& answer) {
    IgnoreRanges(hub_.content("model.safetensors"), answer);
  };
  PullIt();
  ExpectWhole("model.safetensors");
  EXPECT_THAT(hub_.large_log(), SizeIs(1));
  EXPECT_EQ(sink_.last_done, 11);
}

TEST_F(PullTest, StartsOverWhenTheServerHasNoRangesAnyMore) {
  settings_.segment_bytes = 4000;
  settings_.retry.attempts = 1;
  settings_.connections = 1;
  hub_.change_large = [](const ServedRequest& request, ServedAnswer& answer) {
    if (request.headers.at("range") == "bytes=4000-7999") answer.cut_after = 100;
  };
  ErrorOf();
  hub_.change_large = [&](const ServedRequest&, ServedAnswer& answer) {
    IgnoreRanges(hub_.content("model.safetensors"), answer);
  };
  PullIt();
  ExpectWhole("model.safetensors");
}

TEST_F(PullTest, GivesUpOnAServerThatAlwaysCutsAtTheSamePlace) {
  hub_.change_large = [&](const ServedRequest&, ServedAnswer& answer) {
    IgnoreRanges(hub_.content("model.safetensors"), answer);
    answer.cut_after = 5000;
  };
  EXPECT_EQ(ErrorOf().kind, ErrorKind::kEnvironment);
  EXPECT_THAT(hub_.large_log(), SizeIs(5));  // the first brings bytes; the four after it none beyond those
}

TEST_F(PullTest, RefusesAnotherLengthThanTheHubSays) {
  const auto error_with = [&](const testing::Hub::Change& change) {
    hub_.change_large = change;
    const Error::Fields error = ErrorOf();
    EXPECT_EQ(error.kind, ErrorKind::kInput);
    EXPECT_FALSE(fs::exists(Snapshot()));
    return error.why;
  };
  const std::string content = hub_.content("model.safetensors");
  EXPECT_THAT(error_with([&](const ServedRequest& request, ServedAnswer& answer) {
                answer = io::testing::ServeBytes(request, content + "more");
              }),
              HasSubstr("the hub says it has 10500 bytes, but the server gives 10504"));
  EXPECT_THAT(
      error_with([&](const ServedRequest&, ServedAnswer& answer) { answer = {.body = content.substr(1)}; }),
      HasSubstr("the server gives 10499"));
  EXPECT_THAT(error_with([](const ServedRequest&, ServedAnswer& answer) { answer = {.status = 416}; }),
              HasSubstr("the server has less"));
  EXPECT_THAT(error_with([&](const ServedRequest&, ServedAnswer& answer) {
                answer = {.body = content + "more", .with_length = false};
              }),
              HasSubstr("more than it was asked for"));
  EXPECT_THAT(error_with([&](const ServedRequest&, ServedAnswer& answer) {
                answer = {.body = content.substr(0, 700), .with_length = false};
              }),
              HasSubstr("the answers end at byte 700"));
  EXPECT_THAT(error_with([&](const ServedRequest&, ServedAnswer& answer) {
                answer = {.status = 206, .headers = {{"Content-Range", "bytes 5-10499/10500"}}, .body = "x"};
              }),
              HasSubstr("another range"));
}

TEST_F(PullTest, RefusesAWrongChecksumAndKeepsNothingOfIt) {
  hub_.change_large = [](const ServedRequest&, ServedAnswer& answer) { answer.body[77] ^= 1; };
  const Error::Fields error = ErrorOf();
  EXPECT_EQ(error.kind, ErrorKind::kInput);
  EXPECT_THAT(error.what, HasSubstr("model.safetensors"));
  EXPECT_THAT(error.why, HasSubstr("the hub says " + hub_.etag("model.safetensors")));
  EXPECT_FALSE(fs::exists(Incomplete("model.safetensors")));
  EXPECT_FALSE(fs::exists(Repository() / "blobs" / hub_.etag("model.safetensors")));
  EXPECT_FALSE(fs::exists(Snapshot()));
}

TEST_F(PullTest, ChecksSmallFilesByTheirGitId) {
  hub_.change = [](const ServedRequest& request, ServedAnswer& answer) {
    if (request.target.ends_with("/config.json") && !answer.body.empty()) answer.body[0] ^= 1;
  };
  const Error::Fields error = ErrorOf();
  EXPECT_THAT(error.what, HasSubstr("config.json"));
  EXPECT_THAT(error.why, HasSubstr("git id"));
}

TEST_F(PullTest, FetchesAgainWhenAnEarlierTryLeftBrokenBytes) {
  settings_.retry.attempts = 1;
  settings_.connections = 1;
  hub_.change_large = [](const ServedRequest&, ServedAnswer& answer) {
    answer.body[77] ^= 1;
    answer.cut_after = 4000;
  };
  ErrorOf();
  hub_.change_large = nullptr;
  PullIt();
  ExpectWhole("model.safetensors");
  EXPECT_THAT(hub_.ranges(), ElementsAre("bytes=0-10499", "bytes=4000-10499", "bytes=0-10499"));
  EXPECT_EQ(sink_.last_done, 11);
}

TEST_F(PullTest, WaitsAsLongAsTheHubAsksFor) {
  std::atomic<int> refusals = 2;
  hub_.change = [&](const ServedRequest& request, ServedAnswer& answer) {
    if (request.target.starts_with("/api/") && refusals-- > 0)
      answer = {.status = 429, .headers = {{"Retry-After", "7"}}, .body = "slow down"};
  };
  PullIt();
  EXPECT_THAT(hub_.waits(), ElementsAre(7, 7));
  EXPECT_THAT(sink_.text, HasSubstr("the answer was 429; trying again in 7 s (2 of 5)"));
}

TEST_F(PullTest, DoesNotWaitForHours) {
  hub_.change = [&](const ServedRequest&, ServedAnswer& answer) {
    answer = {.status = 429, .headers = {{"Retry-After", "7200"}}, .body = "slow down"};
  };
  const Error::Fields error = ErrorOf();
  EXPECT_EQ(error.kind, ErrorKind::kEnvironment);
  EXPECT_THAT(error.fix, HasSubstr("try again in 7200 s"));
  EXPECT_THAT(hub_.waits(), IsEmpty());
}

TEST_F(PullTest, TriesAServerErrorAgainWithGrowingWaits) {
  std::atomic<int> errors = 4;
  hub_.change_large = [&](const ServedRequest&, ServedAnswer& answer) {
    if (errors-- > 0) answer = {.status = 503, .body = "busy"};
  };
  PullIt();
  ExpectWhole("model.safetensors");
  EXPECT_THAT(hub_.waits(), ElementsAre(1, 2, 4, 8));
  errors = 1000;
  fs::remove_all(settings_.cache);
  const Error::Fields error = ErrorOf();
  EXPECT_EQ(error.kind, ErrorKind::kEnvironment);
  EXPECT_THAT(error.why, HasSubstr("503"));
  EXPECT_THAT(hub_.waits(), SizeIs(8));
}

TEST_F(PullTest, SaysWhyTheHubRefuses) {
  const auto error_with = [&](int status, const std::string& code) {
    hub_.change = [=](const ServedRequest&, ServedAnswer& answer) {
      answer = {.status = status,
                .headers = {{"X-Error-Code", code}, {"X-Error-Message", "hub\x1b[31m words"}}};
    };
    const Error::Fields error = ErrorOf();
    EXPECT_EQ(error.kind, ErrorKind::kInput) << status;
    EXPECT_THAT(error.why, HasSubstr("answered " + std::to_string(status) + ": \"hub [31m words\""))
        << error.why;
    return error;
  };
  EXPECT_THAT(error_with(401, "RepoNotFound").fix, HasSubstr("set HF_TOKEN"));
  EXPECT_THAT(error_with(403, "GatedRepo").fix, HasSubstr("accept them at " + hub_.url() + "/owner/name"));
  EXPECT_THAT(error_with(404, "RepoNotFound").why, HasSubstr("no model of that name, or it is private"));
  EXPECT_THAT(error_with(404, "RevisionNotFound").why, HasSubstr("no revision main"));
  settings_.token = "hf_wrong";
  EXPECT_THAT(error_with(401, "").why, HasSubstr("the token that was sent does not open it"));
  EXPECT_THAT(hub_.waits(), IsEmpty()) << "another try would change nothing";
}

TEST_F(PullTest, SaysWhenThereIsNoNetwork) {
  settings_.endpoint = "http://127.0.0.1:1";
  const Error::Fields error = ErrorOf();
  EXPECT_EQ(error.kind, ErrorKind::kEnvironment);
  EXPECT_THAT(error.fix, HasSubstr("--offline"));
  EXPECT_THAT(hub_.waits(), ElementsAre(1, 2));
}

TEST_F(PullTest, FollowsAMirrorToTheHubWithoutTheToken) {
  const io::testing::HttpServer mirror([&](const ServedRequest& request) {
    return ServedAnswer{.status = 308, .headers = {{"Location", hub_.url() + request.target}}};
  });
  settings_.endpoint = mirror.url();
  settings_.token = "hf_secret";
  PullIt();
  ExpectWhole("model.safetensors");
  for (const ServedRequest& request : hub_.log()) EXPECT_FALSE(request.headers.contains("authorization"));
}

TEST_F(PullTest, FollowsARenamedRepositoryWithTheToken) {
  settings_.token = "hf_secret";
  hub_.change = [](const ServedRequest& request, ServedAnswer& answer) {
    if (request.target.starts_with("/owner/name/") && !request.target.ends_with("?new"))
      answer = {.status = 307, .headers = {{"Location", request.target + "?new"}}};
    else if (request.target.ends_with("/config.json?new"))
      answer = {
          .headers = {{"ETag", "\"9e26dfeeb6e641a33dae4961196235bdb965b21b\""}, {"X-Repo-Commit", kCommit}},
          .body = "{}"};
  };
  PullIt("owner/name", {"config.json"});
  EXPECT_EQ(io::ReadFile(Snapshot() / "config.json"), "{}");
  for (const ServedRequest& request : hub_.log())
    EXPECT_EQ(request.headers.at("authorization"), "Bearer hf_secret") << request.target;
}

TEST_F(PullTest, WritesTheRefOfTheRevision) {
  PullIt("owner/name@refs/pr/1");
  EXPECT_EQ(io::ReadFile(Repository() / "refs/refs/pr/1"), kCommit);
  EXPECT_FALSE(fs::exists(Repository() / "refs/main"));
  EXPECT_EQ(hub_.log()[0].target, "/api/models/owner/name/revision/refs%2Fpr%2F1");
  PullIt("owner/name@" + kCommit);
  EXPECT_THAT(NamesIn(Repository() / "refs"), ElementsAre("refs"));
}

TEST_F(PullTest, LinksFoldersEmptyFilesAndEqualContents) {
  hub_.Add("onnx/a b.txt", "");
  hub_.Add("onnx/deep/c.txt", "{}");  // the content of tokenizer.json
  hub_.change = [](const ServedRequest& request, ServedAnswer& answer) {
    if (request.target.ends_with("/a%20b.txt"))
      answer = {
          .headers = {{"ETag", "\"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391\""}, {"X-Repo-Commit", kCommit}}};
  };
  PullIt("owner/name", {"onnx/*", "tokenizer.json"});
  EXPECT_EQ(fs::read_symlink(Snapshot() / "onnx/deep/c.txt"),
            "../../../../blobs/" + hub_.etag("tokenizer.json"));
  EXPECT_EQ(io::ReadFile(Snapshot() / "onnx/deep/c.txt"), "{}");
  EXPECT_EQ(fs::file_size(Snapshot() / "onnx/a b.txt"), 0u);
  EXPECT_THAT(NamesIn(Repository() / "blobs"), SizeIs(2));
}

TEST_F(PullTest, StopsAndGoesOn) {
  settings_.segment_bytes = 1000;
  settings_.connections = 1;
  std::atomic<int> answers = 0;
  hub_.change_large = [&](const ServedRequest&, ServedAnswer&) {
    if (++answers == 4) stop_.RequestStop();
  };
  const Error::Fields error = ErrorOf();
  EXPECT_EQ(error.kind, ErrorKind::kInterrupted);
  EXPECT_THAT(error.fix, HasSubstr("same command"));
  StopToken fresh;
  PullModel(settings_, ParseRepoReference("owner/name", RepoKind::kModel), {}, sink_, fresh);
  ExpectWhole("model.safetensors");
  const std::vector<std::string> ranges = hub_.ranges();
  EXPECT_EQ(std::count(ranges.begin(), ranges.end(), "bytes=0-999"), 1) << "what came was kept";
}

TEST_F(PullTest, ChecksTheDiskBeforeTheFirstByte) {
  hub_.change = [](const ServedRequest&, ServedAnswer& answer) {
    for (auto& [name, value] : answer.headers)
      if (name == "X-Linked-Size") value = "1000000000000000";
  };
  const Error::Fields error = ErrorOf();
  EXPECT_EQ(error.kind, ErrorKind::kEnvironment);
  EXPECT_THAT(error.what, HasSubstr("not enough disk space"));
  EXPECT_THAT(hub_.large_log(), IsEmpty());
}

TEST_F(PullTest, UsesOnlyTheCacheOffline) {
  settings_.offline = true;
  const Error::Fields missing = ErrorOf();
  EXPECT_EQ(missing.kind, ErrorKind::kEnvironment);
  EXPECT_THAT(missing.why, HasSubstr("no snapshot"));
  settings_.offline = false;
  PullIt();
  settings_.offline = true;
  const std::size_t before = hub_.log().size();
  EXPECT_EQ(PullIt().snapshot, Snapshot());
  EXPECT_EQ(PullIt("owner/name@" + kCommit).snapshot, Snapshot());
  EXPECT_THAT(ErrorOf("owner/name@v2").why, HasSubstr("no snapshot"));
  EXPECT_THAT(ErrorOf("owner/name", {"*.gguf"}).why, HasSubstr("no file in the cache matches *.gguf"));
  fs::remove(Repository() / "blobs" / hub_.etag("model.safetensors"));
  EXPECT_THAT(ErrorOf().why, HasSubstr("only some of its files"));
  EXPECT_EQ(hub_.log().size(), before) << "offline asked the hub";
}

TEST_F(PullTest, IsFoundByItsName) {
  EXPECT_EQ(FindPulledModel(settings_.cache, "owner/name"), std::nullopt);
  PullIt();
  EXPECT_EQ(FindPulledModel(settings_.cache, "owner/name"), Snapshot());
  EXPECT_EQ(FindPulledModel(settings_.cache, "owner/name@main"), Snapshot());
  EXPECT_EQ(FindPulledModel(settings_.cache, "owner/name@" + kCommit), Snapshot());
  for (const char* name :
       {"owner/name@v2", "owner/name@../main", "owner/other", "../name", "", "owner/name@"})
    EXPECT_EQ(FindPulledModel(settings_.cache, name), std::nullopt) << name;
}

}  // namespace
}  // namespace forge::hub

// SPDX-License-Identifier: Apache-2.0
#include "hub/repo.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace forge::hub {
namespace {

TEST(RepoReference, IsANameAndARevision) {
  const RepoReference plain = ParseRepoReference("HuggingFaceTB/SmolLM2-135M", RepoKind::kModel);
  EXPECT_EQ(plain.repo.id, "HuggingFaceTB/SmolLM2-135M");
  EXPECT_EQ(plain.revision, "main");
  EXPECT_EQ(plain.repo.FolderName(), "models--HuggingFaceTB--SmolLM2-135M");
  EXPECT_EQ(plain.repo.ApiPath(), "/api/models/HuggingFaceTB/SmolLM2-135M");
  EXPECT_EQ(plain.repo.PagePath(), "/HuggingFaceTB/SmolLM2-135M");
  const RepoReference data = ParseRepoReference("gsm8k@v1.0", RepoKind::kDataset);
  EXPECT_EQ(data.revision, "v1.0");
  EXPECT_EQ(data.repo.FolderName(), "datasets--gsm8k");
  EXPECT_EQ(data.repo.PagePath(), "/datasets/gsm8k");
  EXPECT_EQ(ParseRepoReference("o/n@refs/pr/7", RepoKind::kModel).revision, "refs/pr/7");
}

// The rules of huggingface_hub.utils.validate_repo_id, and what would leave the cache.
TEST(RepoReference, RefusesWhatIsNoName) {
  for (const char* name :
       {"",       "/",      "a/",     "/a",   "a/b/c",    "a--b/c", "a..b/c",  "../a",
        "a/..",   ".a/b",   "a/b.",   "-a/b", "a/b-",     "a b/c",  "a/b.git", "https://huggingface.co/a/b",
        "a/b\n",  "a\\b",   "ä/b",    "o/n@", "o/n@../x", "o/n@/x", "o/n@a b", "o/n@a..b",
        "o/n@x/", "o/n@~1", "o/n@a:b"}) {
    try {
      ParseRepoReference(name, RepoKind::kModel);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    }
  }
  EXPECT_TRUE(IsRepoId(std::string(96, 'a')));
  EXPECT_FALSE(IsRepoId(std::string(97, 'a')));
}

TEST(EscapeForUrl, KeepsNamesInTheirPlace) {
  EXPECT_EQ(EscapeForUrl("a b/ä?#%.json", false), "a%20b/%C3%A4%3F%23%25.json");
  EXPECT_EQ(EscapeForUrl("refs/pr/1", true), "refs%2Fpr%2F1");
}

}  // namespace
}  // namespace forge::hub

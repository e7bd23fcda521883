// SPDX-License-Identifier: Apache-2.0
#include "jobs/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace forge::jobs {
namespace {

TEST(LocalExecutor, DoesJobsInTheOrderOfSubmissionWhenAsked) {
  std::vector<std::string> done;
  LocalExecutor executor([&](const Job& job) {
    done.push_back(job.key);
    return io::Json{{"twice", 2 * job.what.at("n").get<int>()}};
  });
  executor.Submit({"a", {{"n", 1}}});
  executor.Submit({"b", {{"n", 5}}});
  EXPECT_TRUE(done.empty());
  EXPECT_EQ(executor.UnderWay(), 2u);
  const JobResult first = executor.Next();
  EXPECT_EQ(first.key, "a");
  EXPECT_EQ(first.value.at("twice"), 2);
  EXPECT_EQ(executor.Next().value.at("twice"), 10);
  EXPECT_THAT(done, testing::ElementsAre("a", "b"));
  EXPECT_EQ(executor.UnderWay(), 0u);
}

}  // namespace
}  // namespace forge::jobs

// SPDX-License-Identifier: Apache-2.0
#include "serve/fair_queue.h"

#include <gtest/gtest.h>

namespace forge::serve {
namespace {

std::string Order(FairQueue<std::string>& queue) {
  std::string order;
  while (!queue.empty()) {
    EXPECT_EQ(queue.Front(), std::string(queue.Front()));
    order += queue.Pop();
  }
  return order;
}

TEST(FairQueue, TakesTurnsBetweenClientsAndKeepsTheOrderOfEach) {
  FairQueue<std::string> queue;
  for (const char* item : {"1", "2", "3", "4"}) queue.Push("a", item);
  queue.Push("b", "x");
  queue.Push("b", "y");
  queue.Push("c", "z");
  EXPECT_EQ(queue.size(), 7u);
  EXPECT_EQ(Order(queue), "1xz2y34");
  EXPECT_EQ(queue.size(), 0u);
}

TEST(FairQueue, GivesALatecomerItsTurnAfterThoseWhoWait) {
  FairQueue<std::string> queue;
  for (const char* item : {"1", "2", "3"}) queue.Push("a", item);
  EXPECT_EQ(queue.Pop(), "1");
  queue.Push("b", "x");
  EXPECT_EQ(Order(queue), "2x3");
}

TEST(FairQueue, ForgetsWhatIsRemoved) {
  FairQueue<std::string> queue;
  queue.Push("a", "1");
  queue.Push("b", "x");
  queue.Push("b", "y");
  queue.Remove([](const std::string& item) { return item == "1" || item == "x"; });
  EXPECT_EQ(queue.size(), 1u);
  EXPECT_EQ(Order(queue), "y");
}

}  // namespace
}  // namespace forge::serve

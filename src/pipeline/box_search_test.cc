// SPDX-License-Identifier: Apache-2.0
#include "pipeline/box_search.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "pipeline/testing_search.h"

namespace forge::pipeline {
namespace {

using testing::ShufflingExecutor;

class BoxSearchTest : public testing::TinySearch {
 protected:
  struct Order {
    std::uint64_t seed = 1;
    int slots = 1;
    int stop_after = -1;
  };

  /// Numbers and fitness of what the search scored.
  std::vector<std::pair<std::int64_t, double>> Run(const EvolveConfig& config, const std::string& run,
                                                   const Order& order) {
    const RunContext context = Context(run);
    auto executor = std::make_unique<ShufflingExecutor>(*evaluator_, order.seed, order.slots);
    executor->StopAfter(order.stop_after);
    EvolveCandidates candidates(*evaluator_, context, std::move(executor));
    std::vector<std::pair<std::int64_t, double>> scored;
    for (const MergeCandidate& candidate : RunBoxSearch(config, candidates))
      scored.emplace_back(candidate.number, candidate.fitness);
    tokens_ = candidates.tokens();
    return scored;
  }

  static EvolveConfig Config(const std::string& algorithm) {
    EvolveConfig config;
    config.algorithm = algorithm;
    config.evaluations = 40;
    config.guide = "task";
    config.finest_level = "components";
    return config;
  }
  std::int64_t tokens_ = 0;
};

TEST_F(BoxSearchTest, IsTheSameForAnyNumberOfWorkersAndOrderOfArrival) {
  for (const std::string algorithm : {"cma-es", "nsga2", "map-elites", "random"}) {
    const auto one = Run(Config(algorithm), algorithm + "1", {});
    EXPECT_EQ(one.size(), 40u);
    EXPECT_EQ(one, Run(Config(algorithm), algorithm + "4", {.seed = 9, .slots = 4})) << algorithm;
  }
  EvolveConfig surrogate = Config("cma-es");
  surrogate.surrogate = true;
  surrogate.guide = "likelihood";
  EXPECT_EQ(Run(surrogate, "s1", {}), Run(surrogate, "s4", {.seed = 9, .slots = 4}));
}

TEST_F(BoxSearchTest, OrderOfArrivalIsKeptOverAStop) {
  EvolveConfig config = Config("cma-es");
  config.order = "arrival";
  EXPECT_NE(Run(config, "x", {.seed = 1, .slots = 5}), Run(config, "y", {.seed = 2, .slots = 5}));
  EXPECT_THROW(Run(config, "z", {.seed = 1, .slots = 5, .stop_after = 17}), Error);
  // Another order and number of workers from there on; what came before stays as it was.
  const auto resumed = Run(config, "z", {.seed = 4, .slots = 3});
  const auto replayed = Run(config, "z", {.seed = 8, .slots = 2, .stop_after = 0});
  EXPECT_EQ(resumed, replayed);
  EXPECT_EQ(resumed.size(), 40u);
}

TEST_F(BoxSearchTest, AStoppedSearchGoesOnToTheSameEnd) {
  const EvolveConfig config = Config("nsga2");
  EXPECT_THROW(Run(config, "z", {.seed = 1, .slots = 5, .stop_after = 23}), Error);
  EXPECT_EQ(Run(config, "z", {.seed = 4, .slots = 3}), Run(config, "whole", {}));
}

TEST_F(BoxSearchTest, EndsWhenItsTokensAreUsedUpAndAgainThereAfterAStop) {
  EvolveConfig config = Config("cma-es");
  const auto whole = Run(config, "whole", {});
  config.max_tokens = static_cast<int>(tokens_ / 2);
  const auto half = Run(config, "half", {});
  EXPECT_GT(half.size(), 10u);
  EXPECT_LT(half.size(), 30u);
  EXPECT_GT(tokens_, 0.8 * config.max_tokens);
  EXPECT_EQ(Run(config, "half", {.stop_after = 0}), half);
  EXPECT_EQ(Run(config, "four", {.seed = 3, .slots = 4}), half);
  config.max_tokens = 1;
  EXPECT_LT(Run(config, "least", {}).size(), 15u);  // the start points and one more
}

TEST_F(BoxSearchTest, EndsWhenItsMinutesAreUsedUp) {
  EvolveConfig config = Config("random");
  config.max_minutes = 1e-9;
  EXPECT_EQ(Run(config, "a", {}).size(), 2u);
}

TEST_F(BoxSearchTest, AsksTheItemsFirstThatTellMost) {
  EvolveConfig config = Config("cma-es");
  config.guide = "likelihood";
  config.guide_items = 4;
  const auto stored = Run(config, "stored", {});
  const std::int64_t stored_tokens = tokens_;
  config.item_order = "information";
  const auto informed = Run(config, "informed", {});
  EXPECT_NE(informed, stored);
  EXPECT_GT(tokens_, stored_tokens);  // base, average and parents, on all items
  EXPECT_EQ(Run(config, "four", {.seed = 9, .slots = 4}), informed);
}

TEST_F(BoxSearchTest, RacesAndWeighsTernaryLikelihoodWhenAskedTo) {
  EvolveConfig config = Config("cma-es");
  config.guide = "likelihood";
  config.guide_items = 0;
  config.promoted = 6;
  const auto plain = Run(config, "plain", {});
  EXPECT_EQ(plain.size(), 7u);
  const auto plain_tokens = static_cast<double>(tokens_);
  config.race = true;
  const auto raced = Run(config, "raced", {});
  EXPECT_GE(raced.size(), 2u);
  EXPECT_LT(static_cast<double>(tokens_), 0.8 * plain_tokens);
  config.race = false;
  config.ternary_weight = 5;
  const auto ternary = Run(config, "ternary", {.seed = 3, .slots = 3});
  EXPECT_NE(ternary, plain);
  EXPECT_GT(static_cast<double>(tokens_), plain_tokens);
}

}  // namespace
}  // namespace forge::pipeline

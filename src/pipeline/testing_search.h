// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/philox.h"
#include "model/testing_models.h"
#include "pipeline/evolve_candidates.h"
#include "text/byte_tokenizer.h"

/// For tests only: a search over tiny models, in a store of its own, and an executor that mixes the order.
namespace forge::pipeline::testing {

/// Does jobs like LocalExecutor, but hands results back in an order drawn with `seed`, and counts.
class ShufflingExecutor : public jobs::Executor {
 public:
  ShufflingExecutor(const EvolveEvaluator& evaluator, std::uint64_t seed, int slots)
      : evaluator_(evaluator), random_(seed, "pipeline/testing/shuffle"), slots_(slots) {}
  void Submit(jobs::Job job) override { waiting_.push_back(std::move(job)); }
  jobs::JobResult Next() override {
    if (count_ == stop_after_)
      throw Error({.kind = ErrorKind::kInterrupted, .what = "stopped", .why = "a test", .fix = ""});
    const auto index =
        static_cast<std::ptrdiff_t>(random_.Below(static_cast<std::uint32_t>(waiting_.size())));
    const jobs::Job job = waiting_[static_cast<std::size_t>(index)];
    waiting_.erase(waiting_.begin() + index);
    ++count_;
    return {job.key, evaluator_.Evaluate(Evaluation::FromJson(job.what)), "test", 0};
  }
  int Slots() const override { return slots_; }
  std::size_t UnderWay() const override { return waiting_.size(); }
  int count() const { return count_; }
  void StopAfter(int count) { stop_after_ = count; }

 private:
  const EvolveEvaluator& evaluator_;
  Random random_;
  std::vector<jobs::Job> waiting_;
  int slots_, count_ = 0, stop_after_ = -1;
};

class TinySearch : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(folder_);
    evaluator_ = std::make_unique<EvolveEvaluator>(Inputs());
  }
  void TearDown() override {
    stores_.clear();
    std::filesystem::remove_all(folder_);
  }

  static OpenedModel Model(const std::string& name, float scale, std::uint64_t seed) {
    struct Kept {
      model::ModelConfig config = model::testing::TinyConfig();
      model::ModelWeights weights;
      std::unique_ptr<model::WeightSource> source;
    };
    const auto kept = std::make_shared<Kept>();
    kept->config.vocab_size = 260;
    kept->weights = model::testing::RandomWeights(kept->config);
    Random random(seed, "pipeline/testing/search");
    for (auto& [tensor, values] : kept->weights)
      for (float& value : values.values) value += scale * static_cast<float>(random.Normal());
    kept->source = model::WeightsInMemory(kept->config, kept->weights);
    return {.name = name,
            .path = name,
            .config = kept->config,
            .weights = std::shared_ptr<const model::WeightSource>(kept, kept->source.get()),
            .tokenizer = std::make_shared<text::Tokenizer>(text::MakeByteTokenizer())};
  }

  static EvolveInputs Inputs() {
    EvolveInputs inputs;
    inputs.base = Model("base", 0, 0);
    inputs.parents = {Model("a", 0.05f, 1), Model("b", 0.05f, 2)};
    for (const char* name : {"upper", "lower"}) {
      eval::DomainItems domain{.name = name, .metric = eval::Metric::kNegativeLogLikelihood};
      for (int i = 0; i < 48; ++i) {
        const eval::Item item{fmt::format("{} {}", name, i), fmt::format("{}\n", i * i)};
        (i < 32 ? domain.search : i < 40 ? domain.selection : domain.test).push_back(item);
      }
      inputs.domains.push_back(std::move(domain));
    }
    return inputs;
  }

  /// A run of its own for each name; the same name again goes on with it.
  RunContext Context(const std::string& name) {
    const std::filesystem::path folder = folder_ / name;
    const bool is_new = !std::filesystem::exists(folder);
    stores_.push_back(std::make_unique<track::Store>(track::Store::Open(folder, track::Store::Mode::kWrite)));
    if (is_new) stores_.back()->CreateRun({.id = "run", .command = "test", .seed = 3});
    stores_.back()->BeginStage("run", kEvolveStage);
    return {.store = stores_.back().get(),
            .run = "run",
            .folder = folder,
            .seed = 3,
            .terminal = &sink_,
            .stop = &stop_};
  }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / fmt::format("forge-search-test-{}", getpid());
  std::unique_ptr<EvolveEvaluator> evaluator_;
  std::vector<std::unique_ptr<track::Store>> stores_;
  NullMetricSink sink_;
  StopToken stop_;
};

}  // namespace forge::pipeline::testing

// SPDX-License-Identifier: Apache-2.0
#include "pipeline/starter_suite.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/philox.h"
#include "eval/evaluator.h"
#include "eval/starter_items.h"
#include "eval/statistics.h"
#include "io/atomic_file.h"
#include "io/json_file.h"
#include "model/model_folder.h"
#include "pipeline/starter_batches.h"
#include "runtime/native_model.h"
#include "text/byte_tokenizer.h"
#include "train/engine.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;
using eval::StarterDomain;
using model::TensorRole;

constexpr int kSelectionItems = 100;  // of each domain, at a review
constexpr int kReviewInterval = 25, kFirstReview = 75;
constexpr int kBaseRows = 120, kSpecialistRows = 64, kDirectRows = 4;
constexpr double kGoals[] = {0.65, 0.75,
                             0.65};  // accuracy of math, code and structured that the base is held to
constexpr double kGoalSlack = 0.05;
constexpr int kBaseOperations = 4;  // the base adds up to 4 digits; its math specialist learns 5
constexpr double kLaggingWeight = 1.0,
                 kDoneWeight = 0.15;  // share of rows of a domain before and after its goal
const std::array<std::string, 4> kModels{"base", "math", "code", "structured"};

constexpr const char* kReceipt = "starter_config.json";
fs::path ReceiptOf(const StarterConfig& config) { return fs::path(config.out) / kReceipt; }

/// What decides the bytes of the models.
io::Json IdentityOf(const StarterConfig& config) {
  return {{"seed", config.seed},
          {"base_max_steps", config.base_max_steps},
          {"specialist_steps", config.specialist_steps},
          {"adaptation_steps", config.adaptation_steps},
          {"recipe", 2}};
}

bool IsFinished(const fs::path& model) { return fs::exists(model / "model.safetensors"); }

class Suite {
 public:
  Suite(const StarterConfig& config, MetricSink& sink, const StopToken& stop)
      : config_(config),
        sink_(sink),
        stop_(stop),
        tokenizer_(text::MakeByteTokenizer()),
        work_(config.out + ".work") {}

  StarterTable Run() {
    const auto start = std::chrono::steady_clock::now();
    PrepareFolder();
    const model::ModelWeights base = Finished("base") ? Load("base") : Keep("base", TrainBase());
    std::vector<model::ModelWeights> models{base};
    for (std::size_t i = 1; i < kModels.size(); ++i)
      models.push_back(Finished(kModels[i]) ? Load(kModels[i]) : Keep(kModels[i], TrainSpecialist(base, i)));
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    StarterTable table = Measure(models);
    table.seconds = seconds;
    Write(table);
    std::error_code ignored;  // only checkpoints of finished models are left in it
    fs::remove_all(work_, ignored);
    return table;
  }

 private:
  fs::path Folder(const std::string& name) const { return fs::path(config_.out) / name; }
  bool Finished(const std::string& name) const { return IsFinished(Folder(name)); }
  model::ModelWeights Load(const std::string& name) const {
    return model::LoadModelFolder(Folder(name)).weights;
  }

  void PrepareFolder() const {
    CheckStarterSuite(config_);
    if (fs::exists(ReceiptOf(config_))) return;
    std::error_code ignored;
    fs::remove_all(work_, ignored);  // checkpoints of a suite whose folder is gone
    io::AtomicFolder folder(config_.out);
    io::WriteJsonFile(folder.path() / kReceipt, IdentityOf(config_));
    io::WriteJsonFile(folder.path() / "tokenizer.json", text::MakeByteTokenizerJson());
    io::WriteJsonFile(folder.path() / "tokenizer_config.json", text::MakeByteTokenizerConfigJson());
    folder.Commit();
  }

  model::ModelWeights Keep(const std::string& name, model::ModelWeights weights) const {
    model::SaveModelFolder(Folder(name), StarterModelConfig(), weights, io::FloatType::kF32, config_.out);
    return weights;
  }

  model::ModelWeights InitialWeights() const {
    constexpr double kDeviation = 0.06;  // 0.02 learns much more slowly at this size
    model::ModelWeights weights;
    for (const model::TensorSpec& spec : model::ListTensors(StarterModelConfig())) {
      std::size_t size = 1;
      for (const std::int64_t length : spec.shape) size *= static_cast<std::size_t>(length);
      model::Tensor& tensor = weights[spec.name];
      tensor = {spec.shape, std::vector<float>(size, spec.role == TensorRole::kNorm ? 1.0f : 0.0f)};
      if (IsVector(spec)) continue;
      Random random(config_.seed, "starter/initial/" + spec.name);
      for (float& value : tensor.values) value = static_cast<float>(kDeviation * random.Normal());
    }
    return weights;
  }

  train::TrainJob Job(const std::string& name, const model::ModelWeights& initial, int steps) {
    io::CreateFolders(work_);
    return {.config = StarterModelConfig(),
            .initial = &initial,
            .steps = steps,
            .environment = {.device = config_.device,
                            .sink = &sink_,
                            .stop = &stop_,
                            .name = name,
                            .checkpoint = work_ / (name + ".safetensors"),
                            .checkpoint_interval = kReviewInterval}};
  }

  model::ModelWeights TrainBase() {
    const model::ModelWeights initial = InitialWeights();
    train::TrainJob job = Job("starter base", initial, config_.base_max_steps);
    job.optimizer = {.learning_rate = 2e-3,
                     .final_learning_rate_ratio = 1,
                     .warmup_steps = 30,
                     .beta2 = 0.98,
                     .weight_decay = 0.01};
    StarterMixture mixture{.math = 39,
                           .code = 39,
                           .structured = 38,
                           .direct = kDirectRows,
                           .math_max_operations = kBaseOperations};
    job.batch = [&](int step, int micro) {
      return MixedStarterBatch(tokenizer_, mixture, config_.seed, step, micro, 2);
    };
    job.review_interval = kReviewInterval;
    job.review = [&](int finished, const model::ModelWeights& weights) {
      return finished < kFirstReview || Review(weights, mixture);
    };
    return train::OpenEngine().Train(job).weights;
  }

  /// Gives the domains below their goal more rows; false when every domain is close to its own.
  bool Review(const model::ModelWeights& weights, StarterMixture& mixture) {
    runtime::NativeModel model(StarterModelConfig(), weights);
    std::vector<double> accuracies, shares;
    bool finished = true;
    for (const StarterDomain domain : eval::kStarterDomains) {
      const auto items = eval::StarterItems(domain, eval::Split::kSelection, config_.seed, kSelectionItems);
      accuracies.push_back(eval::Mean(eval::ScoreItems(model, tokenizer_, items, eval::Metric::kExactMatch)));
      const double goal = kGoals[shares.size()];
      shares.push_back(accuracies.back() < goal ? kLaggingWeight : kDoneWeight);
      finished = finished && accuracies.back() >= goal - kGoalSlack;
    }
    const double total = shares[0] + shares[1] + shares[2];
    const auto rows = [&](std::size_t i) {
      return std::max(6, static_cast<int>(std::lround((kBaseRows - kDirectRows) * shares[i] / total)));
    };
    mixture = {.math = rows(0),
               .code = rows(1),
               .structured = rows(2),
               .direct = kDirectRows,
               .math_max_operations = kBaseOperations};
    sink_.Log(fmt::format("starter base: math {:.2f}, code {:.2f}, structured {:.2f}", accuracies[0],
                          accuracies[1], accuracies[2]));
    return !finished;
  }

  model::ModelWeights TrainSpecialist(const model::ModelWeights& base, std::size_t index) {
    const std::string name = "starter " + kModels[index];
    StarterMixture mixture{.math = index == 1 ? kSpecialistRows - kDirectRows : 0,
                           .code = index == 2 ? kSpecialistRows : 0,
                           .structured = index == 3 ? kSpecialistRows : 0,
                           .direct = index == 1 ? kDirectRows : 0};
    const std::uint64_t seed = config_.seed + 1000 * index;
    train::TrainJob skill = Job(name, base, config_.specialist_steps);
    skill.batch = [&](int step, int micro) {
      return MixedStarterBatch(tokenizer_, mixture, seed, step, micro, 2);
    };
    skill.trainable = model::IsLinear;
    skill.optimizer = {.learning_rate = 5e-4,
                       .final_learning_rate_ratio = 0.1,
                       .warmup_steps = 10,
                       .beta2 = 0.98,
                       .weight_decay = 0.01};
    const model::ModelWeights skilled = train::OpenEngine().Train(skill).weights;
    train::TrainJob adaptation = Job(name + " adaptation", skilled, config_.adaptation_steps);
    adaptation.batch = [&](int step, int micro) {
      return MixedStarterBatch(tokenizer_, mixture, seed, config_.specialist_steps + step, micro, 2);
    };
    adaptation.trainable = [](const model::TensorSpec& spec) { return !IsLinear(spec); };
    adaptation.optimizer = {
        .learning_rate = 1.2e-3, .final_learning_rate_ratio = 1, .warmup_steps = 1, .beta2 = 0.98};
    return train::OpenEngine().Train(adaptation).weights;
  }

  StarterTable Measure(const std::vector<model::ModelWeights>& models) {
    StarterTable table{.n = config_.test_items};
    std::vector<std::vector<eval::Item>> columns;
    for (const eval::DomainItems& domain :
         eval::StarterTasks({.search = 1, .selection = 1, .test = config_.test_items}))
      columns.push_back(domain.test);
    for (const int operations : {3, 4})
      columns.push_back(eval::StarterItems(StarterDomain::kDirect, eval::Split::kTest, 2024,
                                           config_.test_items, eval::Exactly(operations)));
    for (std::size_t m = 0; m < models.size(); ++m) {
      runtime::NativeModel model(StarterModelConfig(), models[m]);
      StarterRow& row = table.rows.emplace_back(StarterRow{kModels[m], {}});
      for (const std::vector<eval::Item>& items : columns) {
        int correct = 0;
        for (const double score : eval::ScoreItems(model, tokenizer_, items, eval::Metric::kExactMatch))
          correct += score > 0;
        row.correct.push_back(correct);
      }
    }
    FindMisses(table);
    return table;
  }

  static void FindMisses(StarterTable& table) {
    const auto accuracy = [&](std::size_t model, std::size_t domain) {
      return static_cast<double>(table.rows[model].correct[domain]) / table.n;
    };
    const auto demand = [&](bool holds, const std::string& rule) {
      if (!holds) table.misses.push_back(rule);
    };
    for (std::size_t domain = 0; domain < 3; ++domain) {
      const double own = accuracy(domain + 1, domain);
      demand(own >= 0.85,
             fmt::format("{} has {:.3f} on its own domain, below 0.85", kModels[domain + 1], own));
      for (std::size_t other = 0; other < 3; ++other) {
        if (other == domain) continue;
        demand(accuracy(domain + 1, other) <= own - 0.3,
               fmt::format("{} has {:.3f} on {}, less than 0.3 below its own {:.3f}", kModels[domain + 1],
                           accuracy(domain + 1, other), kModels[other + 1], own));
        demand(accuracy(0, domain) > accuracy(other + 1, domain),
               fmt::format("the base is not above {} on {}", kModels[other + 1], kModels[domain + 1]));
      }
      demand(accuracy(0, domain) < own,
             fmt::format("the base is not below {} on its domain", kModels[domain + 1]));
    }
    for (const std::size_t model : {std::size_t{0}, std::size_t{1}})
      demand(accuracy(model, 4) <= 0.25, fmt::format("{} answers {:.3f} of 4 operations directly, above 0.25",
                                                     kModels[model], accuracy(model, 4)));
  }

  void Write(const StarterTable& table) const {
    io::Json json{
        {"n", table.n}, {"seed", config_.seed}, {"misses", table.misses}, {"rows", io::Json::array()}};
    for (const StarterRow& row : table.rows)
      json["rows"].push_back({{"model", row.model}, {"correct", row.correct}});
    io::WriteJsonFile(fs::path(config_.out) / "starter.json", json);
  }

  const StarterConfig& config_;
  MetricSink& sink_;
  const StopToken& stop_;
  text::Tokenizer tokenizer_;
  fs::path work_;
};

}  // namespace

bool CheckStarterSuite(const StarterConfig& config) {
  const fs::path folder = config.out;
  const bool is_ours = fs::is_directory(folder) && fs::exists(ReceiptOf(config)) &&
                       io::ReadJsonFile(ReceiptOf(config)) == IdentityOf(config);
  if (!is_ours && fs::exists(folder) && !(fs::is_directory(folder) && fs::is_empty(folder)))
    throw Error({.what = "will not write the starter suite into " + config.out,
                 .why = "it holds something else, or a suite of another seed or recipe",
                 .fix = "choose another --out, or remove it"});
  return !std::all_of(kModels.begin(), kModels.end(),
                      [&](const std::string& model) { return IsFinished(folder / model); });
}

StarterTable TrainStarterSuite(const StarterConfig& config, MetricSink& sink, const StopToken& stop) {
  return Suite(config, sink, stop).Run();
}

std::string ShowStarterTable(const StarterTable& table) {
  std::string text =
      fmt::format("exact match, n = {} test items each, with 95 % intervals (Wilson)\n{:<12}", table.n, "");
  for (const char* name : {"math", "code", "structured", "direct K=3", "direct K=4"})
    text += fmt::format("{:>22}", name);
  text += "\n";
  for (const StarterRow& row : table.rows) {
    text += fmt::format("{:<12}", row.model);
    for (const int correct : row.correct) {
      const eval::Interval interval = eval::WilsonInterval(correct, table.n);
      text +=
          fmt::format("{:>22}", fmt::format("{:.3f} [{:.3f}, {:.3f}]", static_cast<double>(correct) / table.n,
                                            interval.low, interval.high));
    }
    text += "\n";
  }
  for (const std::string& miss : table.misses) text += "target missed: " + miss + "\n";
  return text;
}

}  // namespace forge::pipeline

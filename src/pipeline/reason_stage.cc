// SPDX-License-Identifier: Apache-2.0
#include "pipeline/reason_stage.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/philox.h"
#include "eval/evaluator.h"
#include "eval/starter_items.h"
#include "io/atomic_file.h"
#include "pipeline/reason_questions.h"
#include "pipeline/starter_batches.h"
#include "reason/bake_targets.h"
#include "reason/reason_verdict.h"
#include "reason/thought_arms.h"
#include "text/byte_tokenizer.h"
#include "track/store_metric_sink.h"
#include "train/engine.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;
using io::Json;
using reason::Arm;
using reason::Question;

constexpr const char* kStage = "reason";
constexpr int kThoughtRows = 32;          // questions of a Quiet-STaR step
constexpr int kBakeRows[] = {8, 24, 96};  // rows of a distillation step, of one, two and three operations
constexpr int kAnchorRows = 32;           // ordinary lines of each domain in a distillation step
constexpr float kAnswerWeight = 1.0f,
                kNewlineWeight = 0.25f;  // ordinary text weighs about three times the answers
constexpr int kGuardItems = 500;
constexpr double kTrustedShare =
    0.8;  // questions of a length at which the thoughts fail more often are left out

class ReasonStage {
 public:
  ReasonStage(const ReasonConfig& config, QuestionSet questions, LoadedModel model, const RunContext& context)
      : config_(config),
        questions_(std::move(questions)),
        input_(std::move(model)),
        context_(context),
        sink_(*context.store, context.run, kStage, context.terminal),
        work_(context.folder / "reason" / "work") {}

  LoadedModel Run() {
    thinker_weights_ = input_.weights;
    if (!questions_.training.empty()) InitializeMetaTokens();
    // First A/B test, on the selection questions where there are some: is it worth training?
    const std::vector<Question>& probe =
        questions_.selection.empty() ? questions_.test : questions_.selection;
    reason::ArmResults before = FirstArms("probe", probe);
    const reason::VerdictRules rules{config_.min_improvement, config_.significance_threshold,
                                     config_.max_guard_loss};
    const reason::ReasonVerdict first = reason::JudgeThoughts(before, rules);
    sink_.Log(fmt::format("probe, n = {}: direct {:.3f}, thought {:.3f}, filler {:.3f}, shuffled {:.3f}",
                          before.a0.size(), Accuracy(before.a0), Accuracy(before.a1), Accuracy(before.a2),
                          Accuracy(before.a3)));
    if (questions_.training.empty()) {
      reason::ReasonVerdict verdict = first;
      if (verdict.why.empty())
        verdict.why = "thoughts help, but this data set has no training questions to bake them with";
      return Finish(before, verdict, nullptr);
    }
    if (!first.why.empty()) return Finish(FirstArms("test", questions_.test), first, nullptr);
    io::CreateFolders(work_);
    TrainThinking(Accuracy(before.a1));
    reason::ArmResults results = FirstArms("test", questions_.test);
    const model::ModelWeights baked = Bake("bake", config_.bake_thoughts), control = Bake("control", 0);
    results.c0 = RunOnce("C0", questions_.test, Arm::kDirect, control, std::nullopt);
    results.b0 = RunOnce("B0", questions_.test, Arm::kDirect, baked, std::nullopt);
    results.b1 = RunOnce("B1", questions_.test, Arm::kThought, WithMeta(baked), mixing_head_);
    results.guards = Guards(baked);
    return Finish(results, reason::Judge(results, rules, context_.seed), &baked);
  }

 private:
  static double Accuracy(const std::vector<bool>& right) {
    return right.empty() ? 0
                         : static_cast<double>(std::count(right.begin(), right.end(), true)) /
                               static_cast<double>(right.size());
  }

  /// The meta tokens start as the brackets that the model already writes its states between.
  void InitializeMetaTokens() {
    const model::Tensor& table = input_.weights.at("model.embed_tokens.weight");
    const auto row = [&](int id) {
      const auto begin = table.values.begin() + id * table.shape[1];
      return std::vector<float>(begin, begin + table.shape[1]);
    };
    start_ = row('[');
    end_ = row(']');
    thinker_weights_ = WithMeta(input_.weights);
  }
  model::ModelWeights WithMeta(const model::ModelWeights& weights) const {
    return reason::WithMetaTokens(weights, text::kByteStartOfThought, start_, text::kByteEndOfThought, end_);
  }

  /// Answers of one arm, a unit of work: read back when a resumed run has them.
  std::vector<bool> RunOnce(const std::string& name, const std::vector<Question>& questions, Arm arm,
                            const model::ModelWeights& weights,
                            const std::optional<train::MixingHead>& head) {
    const std::string key = "arm " + name;
    std::vector<bool> right;
    if (const auto kept = context_.store->GetUnit(context_.run, kStage, key)) {
      for (const char c : kept->at("right").get<std::string>()) right.push_back(c == '1');
      return right;
    }
    context_.stop->ThrowIfRequested(key.c_str());
    runtime::NativeModel model(input_.config, weights);
    right = reason::RunArm({&model, input_.tokenizer.get(), questions_.format, head}, questions, arm);
    std::string bits;
    for (const bool value : right) bits += value ? '1' : '0';
    context_.store->PutUnit(context_.run, kStage, key, {{"right", bits}});
    sink_.Log(fmt::format("arm {}: {:.3f} of {}", name, Accuracy(right), right.size()));
    return right;
  }

  reason::ArmResults FirstArms(const std::string& name, const std::vector<Question>& questions) {
    reason::ArmResults results;
    results.a0 = RunOnce(name + " A0", questions, Arm::kDirect, input_.weights, std::nullopt);
    results.a1 = RunOnce(name + " A1", questions, Arm::kThought, thinker_weights_, mixing_head_);
    results.a2 = RunOnce(name + " A2", questions, Arm::kFiller, thinker_weights_, mixing_head_);
    results.a3 = RunOnce(name + " A3", questions, Arm::kShuffled, thinker_weights_, mixing_head_);
    return results;
  }

  train::JobEnvironment Environment(const std::string& name) {
    return {.device = context_.device,
            .sink = &sink_,
            .stop = context_.stop,
            .name = name,
            .checkpoint = work_ / (name + ".safetensors"),
            .checkpoint_interval = 50};
  }

  /// Quiet-STaR; kept if the trained thoughts answer at least as many selection questions as the untrained
  /// ones.
  void TrainThinking(double untrained_accuracy) {
    if (config_.thought_steps == 0) return;
    const train::JobEnvironment environment = Environment("thoughts");
    train::ThoughtJob job{.config = input_.config,
                          .initial = &input_.weights,
                          .start_embedding = start_,
                          .end_embedding = end_,
                          .mixing_head = train::MakeMixingHead(input_.config.hidden_size, context_.seed)};
    job.thought_length = questions_.format.thought_length;
    job.look_ahead = 2;  // the suffix and the answer
    job.banned_tokens = questions_.format.banned;
    job.banned_tokens.insert(job.banned_tokens.end(), questions_.format.banned_in_thought.begin(),
                             questions_.format.banned_in_thought.end());
    job.steps = config_.thought_steps;
    job.optimizer = {.learning_rate = config_.thought_learning_rate, .warmup_steps = 10};
    job.seed = context_.seed;
    job.environment = &environment;
    const std::vector<Question>& pool = questions_.training.back();
    job.batch = [&](int step) {
      Random random(context_.seed, "reason/thought_batch", static_cast<std::uint64_t>(step));
      std::vector<train::ThoughtRow> rows;
      for (int row = 0; row < kThoughtRows; ++row) {
        const Question& question = pool[random.Below(static_cast<std::uint32_t>(pool.size()))];
        const std::vector<int> prompt = input_.tokenizer->Encode(question.prompt);
        rows.push_back(
            {input_.tokenizer->Encode(question.prompt + questions_.format.suffix + question.answer + "\n"),
             {static_cast<int>(prompt.size()) - 1}});
      }
      return rows;
    };
    const train::ThoughtResult result = train::OpenEngine().TrainThoughts(job);
    const std::vector<float> old_start = start_, old_end = end_;
    start_ = result.start_embedding;
    end_ = result.end_embedding;
    model::ModelWeights trained = WithMeta(result.weights);
    const double accuracy = Accuracy(
        RunOnce("selection trained", questions_.selection, Arm::kThought, trained, result.mixing_head));
    if (accuracy >= untrained_accuracy) {
      thinker_weights_ = std::move(trained);
      mixing_head_ = result.mixing_head;
      return;
    }
    start_ = old_start;
    end_ = old_end;
    sink_.Log(
        fmt::format("thought training is not kept: {:.3f} of the selection questions after it, {:.3f} before",
                    accuracy, untrained_accuracy));
  }

  /// Distils answers into the input model: of the thinking model (thoughts > 0), or of the model itself
  /// without thoughts, which is the control. Ordinary lines of all domains hold the model to what it was.
  model::ModelWeights Bake(const std::string& name, int thoughts) {
    sink_.Log(fmt::format("{}: computing the targets", name));
    std::vector<std::vector<reason::BakeTarget>> targets;
    {
      runtime::NativeModel model(input_.config, thoughts > 0 ? thinker_weights_ : input_.weights);
      for (std::size_t steps = 1; steps <= questions_.training.size(); ++steps) {
        reason::ThinkingModel thinker{&model, input_.tokenizer.get(), questions_.format,
                                      thoughts > 0 ? mixing_head_ : std::nullopt};
        thinker.format.thought_length = static_cast<int>(steps);
        targets.push_back(reason::MakeBakeTargets(thinker, questions_.training[steps - 1], thoughts,
                                                  context_.seed + steps));
        const double gold = GoldShare(targets.back(), questions_.training[steps - 1]);
        sink_.Log(fmt::format("{}: {} targets of {} operation(s), {:.3f} of them favour the gold answer",
                              name, targets.back().size(), steps, gold));
        if (thoughts > 0) trusted_.push_back(gold >= kTrustedShare);
        context_.stop->ThrowIfRequested("the last training checkpoint");
      }
    }
    train::TrainJob job{.config = input_.config,
                        .initial = &input_.weights,
                        .teacher = &input_.weights,
                        .steps = config_.bake_steps,
                        .environment = Environment(name)};
    job.optimizer = {
        .learning_rate = config_.bake_learning_rate, .warmup_steps = 20, .beta2 = 0.98, .weight_decay = 0.01};
    job.batch = [&](int step, int micro) { return BakeBatch(targets, step, micro, job.micro_batches); };
    return train::OpenEngine().Train(job).weights;
  }

  /// Gold answers of training questions decide which lengths are trusted; they are not trained on.
  double GoldShare(const std::vector<reason::BakeTarget>& targets,
                   const std::vector<Question>& questions) const {
    double count = 0;
    for (std::size_t i = 0; i < targets.size(); ++i)
      count +=
          input_.tokenizer->TokenBytes(
              targets[i].tokens[static_cast<std::size_t>(targets[i].answer_position)]) == questions[i].answer;
    return count / static_cast<double>(targets.size());
  }

  train::TokenBatch BakeBatch(const std::vector<std::vector<reason::BakeTarget>>& targets, int step,
                              int micro, int micro_batches) const {
    const StarterMixture mixture{.math = kAnchorRows, .code = kAnchorRows, .structured = kAnchorRows};
    train::TokenBatch anchor =
        BatchOf(*input_.tokenizer, MixedStarterItems(mixture, context_.seed + 77, step, micro, micro_batches),
                Target::kTeacher);
    std::vector<const reason::BakeTarget*> rows;
    Random random(context_.seed, "reason/bake_batch",
                  static_cast<std::uint64_t>(step * micro_batches + micro));
    for (std::size_t level = 0; level < targets.size(); ++level)
      for (int i = 0; trusted_[level] && i < kBakeRows[level] / micro_batches; ++i)
        rows.push_back(&targets[level][random.Below(static_cast<std::uint32_t>(targets[level].size()))]);
    const int old_length = anchor.length;
    train::TokenBatch batch{.rows = anchor.rows + static_cast<int>(rows.size()),
                            .length = old_length};  // answers end with a plain newline
    for (const reason::BakeTarget* row : rows)
      batch.length = std::max(batch.length, static_cast<int>(row->tokens.size()));
    const auto add_row = [&](const int* tokens, const float* teacher_weights, const float* token_weights,
                             int size) {
      for (int t = 0; t < batch.length; ++t) {
        batch.tokens.push_back(t < size ? tokens[t] : 0);
        batch.teacher_weights.push_back(t < size && teacher_weights != nullptr ? teacher_weights[t] : 0);
        batch.token_weights.push_back(t < size && token_weights != nullptr ? token_weights[t] : 0);
      }
    };
    for (int row = 0; row < anchor.rows; ++row)
      add_row(anchor.tokens.data() + row * old_length, anchor.teacher_weights.data() + row * old_length,
              nullptr, old_length);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      std::vector<float> weights(rows[i]->tokens.size());
      for (std::size_t t = static_cast<std::size_t>(rows[i]->answer_position) + 1; t < weights.size(); ++t)
        weights[t] = kNewlineWeight;
      add_row(rows[i]->tokens.data(), nullptr, weights.data(), static_cast<int>(weights.size()));
      batch.soft_targets.push_back({anchor.rows + static_cast<int>(i), rows[i]->answer_position,
                                    kAnswerWeight, rows[i]->probabilities});
    }
    return batch;
  }

  std::map<std::string, std::pair<std::vector<double>, std::vector<double>>> Guards(
      const model::ModelWeights& baked) {
    std::map<std::string, std::pair<std::vector<double>, std::vector<double>>> guards;
    runtime::NativeModel before(input_.config, input_.weights), after(input_.config, baked);
    for (const eval::DomainItems& domain :
         eval::StarterTasks({.search = 1, .selection = 1, .test = kGuardItems}))
      guards[domain.name] = {eval::ScoreItems(before, *input_.tokenizer, domain.test, domain.metric),
                             eval::ScoreItems(after, *input_.tokenizer, domain.test, domain.metric)};
    return guards;
  }

  LoadedModel Finish(const reason::ArmResults& results, const reason::ReasonVerdict& verdict,
                     const model::ModelWeights* baked) {
    Json arms = Json::array();
    const auto add = [&](const char* name, const char* label, const std::vector<bool>& right) {
      if (right.empty()) return;
      const int correct = static_cast<int>(std::count(right.begin(), right.end(), true)),
                n = static_cast<int>(right.size());
      const eval::Interval interval = eval::WilsonInterval(correct, n);
      arms.push_back({{"name", name},
                      {"label", label},
                      {"accuracy", static_cast<double>(correct) / n},
                      {"ci", {interval.low, interval.high}},
                      {"n", n}});
    };
    add("A0", "direct", results.a0);
    add("A1", "with its thought", results.a1);
    add("A2", "filler tokens", results.a2);
    add("A3", "another's thought", results.a3);
    add("C0", "control training, direct", results.c0);
    add("B0", "baked, direct", results.b0);
    add("B1", "baked, with thought", results.b1);
    Json result{{"verdict", verdict.baked ? "baked" : "no_gain"},
                {"why", verdict.why},
                {"dataset", questions_.name},
                {"thought_gain_points", 100 * verdict.thought_gain},
                {"placebo_gain_points", 100 * verdict.placebo_gain},
                {"p_value", verdict.p_value},
                {"bake_p_value", results.b0.empty() ? Json() : Json(verdict.bake_p_value)},
                {"retention", verdict.retention ? Json(*verdict.retention) : Json()},
                {"retention_ci", verdict.retention_interval
                                     ? Json{verdict.retention_interval->low, verdict.retention_interval->high}
                                     : Json()},
                {"mixing_head", mixing_head_.has_value()},
                {"n", results.a0.size()},
                {"arms", arms},
                {"guards", Json::object()}};
    for (const auto& [domain, scores] : results.guards)
      result["guards"][domain] = {{"before", eval::Mean(scores.first)},
                                  {"after", eval::Mean(scores.second)},
                                  {"n", scores.first.size()}};
    LoadedModel output = input_;
    if (verdict.baked) {
      output.name = "baked";
      output.weights = *baked;
    }
    output.path = context_.folder / "reason" / "baked";
    io::CreateFolders(output.path.parent_path());
    SaveLoadedModel(output.path, output, model::CountParameters(output.config) < 20'000'000, true);
    std::error_code ignored;  // left-over checkpoints take space and nothing else
    fs::remove_all(work_, ignored);
    context_.store->EndStage(context_.run, kStage, track::State::kDone, result);
    return output;
  }

  const ReasonConfig& config_;
  const QuestionSet questions_;
  LoadedModel input_;
  const RunContext& context_;
  track::StoreMetricSink sink_;
  fs::path work_;
  std::vector<float> start_, end_;
  std::vector<bool> trusted_;  // by number of operations - 1
  model::ModelWeights thinker_weights_;
  std::optional<train::MixingHead> mixing_head_;
};

}  // namespace

LoadedModel RunReasonStage(const ReasonConfig& config, QuestionSet questions, LoadedModel model,
                           const RunContext& context) {
  WidenTernary(model);
  context.store->BeginStage(context.run, kStage);
  return ReasonStage(config, std::move(questions), std::move(model), context).Run();
}

}  // namespace forge::pipeline

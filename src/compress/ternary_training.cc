// SPDX-License-Identifier: Apache-2.0
#include "compress/ternary_training.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <optional>

#include "base/check.h"
#include "base/error.h"
#include "base/float16.h"
#include "base/thread_pool.h"
#include "compress/group_ternary.h"
#include "compress/teacher_cache.h"
#include "io/atomic_file.h"
#include "io/gguf_blocks.h"
#include "io/sha256.h"
#include "runtime/native_model.h"
#include "train/memory_plan.h"

namespace forge::compress {
namespace {

std::span<const float> MomentsOf(const SecondMoments& moments, const std::string& name) {
  const auto found = moments.find(name);
  return found == moments.end() ? std::span<const float>() : std::span<const float>(found->second);
}

/// How a step is divided: in two, or as the memory allows.
train::MemoryPlan PlanOf(const train::TuneJob& job, const TernaryTraining& training) {
  const train::TokenBatch step = training.batch(0, 0, 1);
  train::MemoryRequest request;
  request.rows = step.rows;
  request.length = step.length;
  request.threads = ThreadPool::Global().num_threads();
  request.precision = job.precision;
  request.has_teacher = job.teacher != nullptr;
  request.is_ternary = true;
  request.trainable = job.trainable;
  if (training.max_memory == 0) return train::PlanMemory(job.config, request, (step.rows + 1) / 2, false);
  return train::ChooseMemoryPlan(job.config, request, training.max_memory);
}

/// What the teacher says about all batches of the training.
TeacherCache AskTeacher(const model::ModelConfig& config, const model::ModelWeights& weights,
                        const TernaryTraining& training, int micro_batches) {
  static NullMetricSink no_sink;
  static const StopToken never;
  std::string key;
  for (const auto& [name, tensor] : weights)
    key += name + " " + io::Sha256(std::as_bytes(std::span(tensor.values))) + "\n";
  TeacherCache answers(training.teacher_folder, training.teacher_top_k,
                       io::Sha256(std::as_bytes(std::span(key))));
  answers.Fill(
      training.steps * micro_batches,
      [&](int i) { return training.batch(i / micro_batches, i % micro_batches, micro_batches); },
      [&] { return std::make_unique<runtime::NativeModel>(config, weights); },
      training.environment.sink != nullptr ? *training.environment.sink : no_sink,
      training.environment.stop != nullptr ? *training.environment.stop : never);
  return answers;
}

/// How many steps fit into the minutes: from the time of a few, on copies of the weights.
int StepsOf(const TernaryTraining& training, const train::TuneJob& job) {
  constexpr int kTried = 4;  // of which the first is not counted: it makes the memory
  std::filesystem::path kept = training.environment.checkpoint;
  if (!kept.empty()) {
    kept += ".steps";
    if (std::filesystem::exists(kept)) return std::max(1, std::atoi(io::ReadFile(kept).c_str()));
  }
  model::ModelWeights copy = *job.weights;
  train::JobEnvironment environment{.device = training.environment.device, .stop = training.environment.stop};
  train::TuneJob trial = job;
  trial.weights = &copy;
  trial.steps = kTried;
  trial.environment = &environment;
  std::atomic<std::int64_t> started{0};
  const auto now = [] { return std::chrono::steady_clock::now().time_since_epoch().count(); };
  trial.batch = [&](int step, int micro) {
    if (step == 1 && micro == 0) started = now();
    return job.batch(step, micro);
  };
  train::OpenEngine().Tune(trial);
  const std::chrono::steady_clock::duration taken(now() - started);
  const double seconds = std::chrono::duration<double>(taken).count() / (kTried - 1);
  const int steps = static_cast<int>(std::clamp(training.minutes * 60 / seconds, 1.0, 1e6));
  if (training.environment.sink != nullptr)
    training.environment.sink->Log(fmt::format("{}: {:.2f} s a step: {} steps in {:g} minutes",
                                               training.environment.name, seconds, steps, training.minutes));
  if (!kept.empty()) io::WriteFileAtomically(kept, std::to_string(steps));
  return steps;
}

}  // namespace

bool IsTable(const model::TensorSpec& spec) {
  return spec.role == model::TensorRole::kEmbedding || spec.role == model::TensorRole::kHead;
}

void CheckGroups(const model::ModelConfig& config, int group) {
  std::vector<std::string> problems;
  for (const model::TensorSpec& spec : model::ListTensors(config))
    if (IsLinear(spec) && spec.shape[1] % group != 0)
      problems.push_back(fmt::format("{} has rows of {}", spec.name, spec.shape[1]));
  if (problems.empty()) return;
  throw Error({.what = fmt::format("cannot compress this model with groups of {} weights", group),
               .why = fmt::format("{}", fmt::join(problems, "; ")),
               .fix = group > 64 ? "use --export-type q2_0 and --group-size 64"
                                 : "choose a model whose sizes are multiples of 64"});
}

EncodedLinear RoundTable(std::vector<float>& values, std::int64_t columns, io::BlockType type) {
  EncodedLinear table = Encode(type, values, columns);
  io::DecodeBlocks(type, table.blocks, values);
  return table;
}

CompressedModel Ternarize(const model::ModelConfig& config, const model::ModelWeights& weights, int group,
                          const SecondMoments& moments, io::BlockType tables) {
  CheckGroups(config, group);
  CompressedModel result{.config = config, .weights = {}, .ternary = {}};
  for (const model::TensorSpec& spec : model::ListTensors(config)) {
    const model::Tensor& tensor = weights.at(spec.name);
    if (IsLinear(spec)) {
      result.ternary[spec.name] =
          TernarizeTensor(tensor.values, spec.shape[0], spec.shape[1], group, MomentsOf(moments, spec.name));
      continue;
    }
    model::Tensor& kept = result.weights[spec.name] = tensor;
    if (IsTable(spec)) result.encoded[spec.name] = RoundTable(kept.values, spec.shape[1], tables);
  }
  return result;
}

CompressedModel TrainTernary(const model::ModelConfig& config, const model::ModelWeights& weights,
                             const SecondMoments& moments, const TernaryTraining& training) {
  CheckGroups(config, training.group);
  FORGE_CHECK(training.steps > 0 && training.batch);
  if (training.relation_layer >= config.num_hidden_layers)
    throw Error({.kind = ErrorKind::kUsage,
                 .what = fmt::format("cannot learn relations in layer {}", training.relation_layer),
                 .why = fmt::format("the model has layers 0 to {}", config.num_hidden_layers - 1),
                 .fix = "give another --relation-layer, or -1"});
  model::ModelWeights trained = weights;
  std::map<std::string, EncodedLinear> tables;
  for (const model::TensorSpec& spec : model::ListTensors(config))
    if (IsTable(spec))
      tables[spec.name] = RoundTable(trained.at(spec.name).values, spec.shape[1], training.tables);
  if (training.start != nullptr)
    for (const auto& [name, linear] : *training.start) trained.at(name) = model::Dequantize(linear);
  train::TuneJob job{.config = config, .weights = &trained, .teacher = &weights, .steps = training.steps};
  if (training.teacher_top_k > 0) job.teacher = nullptr;
  job.optimizer.learning_rate = training.learning_rate;
  job.trainable = [](const model::TensorSpec& spec) { return !IsTable(spec); };
  job.straight_through = {.quantize =
                              [&](const std::string& name, const float* values, std::int64_t out,
                                  std::int64_t in, float* quantized) {
                                TernarizeValues(values, out, in, training.group, MomentsOf(moments, name),
                                                quantized);
                              },
                          .lambda = [&](int step) { return Lambda(step, job.steps, training.lambda); }};
  job.straight_through.int8_activations = training.int8_activations;
  job.teacher_temperature = training.temperature;
  job.precision = training.precision;
  job.relation_share = training.relation_share;
  job.relation_layer =
      training.relation_layer < 0 ? config.num_hidden_layers * 3 / 4 : training.relation_layer;
  job.environment = &training.environment;
  const train::MemoryPlan plan = PlanOf(job, training);
  if (training.environment.sink != nullptr) training.environment.sink->Log(train::Describe(plan));
  job.micro_batches = plan.micro_batches;
  job.recompute_activations = plan.recompute_activations;
  job.batch = [&](int step, int micro) { return training.batch(step, micro, job.micro_batches); };
  std::optional<TeacherCache> answers;
  if (training.teacher_top_k > 0) {
    answers.emplace(AskTeacher(config, weights, training, job.micro_batches));
    job.batch = [&](int step, int micro) {
      return answers->Taught(training.batch(step, micro, job.micro_batches));
    };
  }
  if (training.minutes > 0) job.steps = StepsOf(training, job);
  job.optimizer.warmup_steps = std::clamp(job.steps / 20, 1, 20);
  train::OpenEngine().Tune(job);
  CompressedModel result = Ternarize(config, trained, training.group, moments, training.tables);
  // To round a rounded table again changes it in some types: it stays what was trained with.
  for (auto& [name, table] : tables) {
    result.weights[name] = std::move(trained.at(name));
    result.encoded[name] = std::move(table);
  }
  return result;
}

}  // namespace forge::compress

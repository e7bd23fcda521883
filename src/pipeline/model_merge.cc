// SPDX-License-Identifier: Apache-2.0
#include "pipeline/model_merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <mutex>

#include "base/error.h"
#include "base/thread_pool.h"
#include "io/float_arrays.h"
#include "io/parallel_safetensors_writer.h"
#include "merge/exact/tensor_merge.h"
#include "merge/kernels/element_kernels.h"
#include "merge/stored_choices.h"
#include "model/model_folder.h"
#include "pipeline/merge_report.h"
#include "pipeline/merge_smoke_test.h"
#include "pipeline/model_reference.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;
using merge::TensorTask;

/// The type of most weights: what config.json says the model is stored as.
io::FloatType StoredAs(const merge::MergePlan& plan) {
  std::map<io::FloatType, std::size_t> elements;
  for (const TensorTask& task : plan.tensors) elements[task.out_type] += task.size();
  return std::max_element(elements.begin(), elements.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

std::vector<const TensorTask*> SortedByName(const merge::MergePlan& plan) {
  std::vector<const TensorTask*> tasks;
  for (const TensorTask& task : plan.tensors) tasks.push_back(&task);
  std::sort(tasks.begin(), tasks.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  return tasks;
}

void RoundTo(io::FloatType type, std::vector<float>& values) {
  if (type == io::FloatType::kF32) return;
  std::vector<std::byte> stored(values.size() * io::BytesOf(type));
  io::NarrowFloats(values, type, stored.data());
  io::WidenFloats(stored, type, values);
}

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// A tensor above the part 1 / (this * threads) of all weights is merged on all threads at once.
constexpr std::size_t kTensorsOfAThread = 8;

[[noreturn]] void RefuseValue(const TensorTask& task, float value) {
  const bool is_finite = std::isfinite(value);
  throw Error({.what = fmt::format("cannot store {} of the merged model", task.name),
               .why = fmt::format(
                   "it holds {:g}{}", value,
                   is_finite ? fmt::format(", which is too large for {}", io::LongName(task.out_type)) : ""),
               .fix = is_finite ? "set out_dtype: float32" : "change the weights; they overflow"});
}

}  // namespace

/// Writes the tensors and watches what they become.
class ModelMerge::Writing {
 public:
  Writing(const ModelMerge& merge, const fs::path& folder)
      : merge_(merge),
        tasks_(SortedByName(merge.plan_)),
        writer_(folder, Shapes(), merge.settings_.max_shard_bytes) {}

  /// Large tensors one after the other on all threads, then the others side by side, each on one thread: that
  /// way no thread waits at the end of a pass for what the others still do.
  void Run(MetricSink& sink, const StopToken& stop) {
    std::size_t total = 0;
    for (const TensorTask* task : tasks_) total += task->size();
    progress_.total = static_cast<std::int64_t>(total);
    norms_.resize(tasks_.size());
    const std::size_t shares =
        kTensorsOfAThread * static_cast<std::size_t>(ThreadPool::Global().num_threads());
    std::vector<std::size_t> small;
    for (std::size_t t = 0; t < tasks_.size(); ++t) {
      if (merge_.settings_.mergekit_numerics || tasks_[t]->size() > total / shares)
        MergeAndCount(t, /*is_alone=*/true, sink, stop);
      else
        small.push_back(t);
    }
    ThreadPool::Global().Run(small.size(),
                             [&](std::size_t i) { MergeAndCount(small[i], /*is_alone=*/false, sink, stop); });
    writer_.Finish();
  }

  std::uint64_t bytes() const { return writer_.bytes(); }
  std::size_t num_shards() const { return writer_.num_shards(); }

  /// Length of each tensor against the mean length of what it was made of.
  std::vector<TensorDrift> Drift() const {
    std::vector<TensorDrift> drift;
    for (std::size_t t = 0; t < tasks_.size(); ++t) {
      const Norms& norms = norms_[t];
      const double sources = norms.sources > 0 ? std::sqrt(norms.sources) : 0;
      drift.push_back({tasks_[t]->name, sources > 0 ? std::sqrt(norms.merged) / sources : 1});
    }
    return drift;
  }

 private:
  struct Norms {  // sums of squares; of the sources the mean
    double merged = 0, sources = 0;
  };

  std::vector<io::StoredShape> Shapes() const {
    std::vector<io::StoredShape> shapes;
    for (const TensorTask* task : tasks_) shapes.push_back({task->name, task->shape, task->out_type});
    return shapes;
  }

  /// May be called from several threads.
  void MergeAndCount(std::size_t t, bool is_alone, MetricSink& sink, const StopToken& stop) {
    if (stop.stop_requested())
      throw Error({.kind = ErrorKind::kInterrupted,
                   .what = "stopped on request",
                   .why = "OUT was not written",
                   .fix = "run the same command again"});
    std::unique_ptr<TensorReader> reader = TakeReader();
    reader->Open(*tasks_[t], !is_alone);
    merge_.MergeOne(*tasks_[t], *reader, [&](const merge::Piece& piece, std::span<const float> merged) {
      Take(t, piece, merged);
    });
    const std::lock_guard lock(mutex_);
    readers_.push_back(std::move(reader));
    progress_.done += static_cast<std::int64_t>(tasks_[t]->size());
    sink.Progress("merge", progress_.done, progress_.total, "weights");
  }

  std::unique_ptr<TensorReader> TakeReader() {
    const std::lock_guard lock(mutex_);
    if (readers_.empty()) return std::make_unique<TensorReader>(merge_.models_.sources());
    std::unique_ptr<TensorReader> reader = std::move(readers_.back());
    readers_.pop_back();
    return reader;
  }

  void Take(std::size_t t, const merge::Piece& piece, std::span<const float> merged) {
    const TensorTask& task = *tasks_[t];
    const merge::Values result[] = {{.at = merged.data()}};
    const std::span<const merge::Values> sources(piece.inputs, task.sources.size());
    const Norms norms{
        .merged = merge::SquaredLengths(result, piece.size),
        .sources = merge::SquaredLengths(sources, piece.size) / static_cast<double>(sources.size())};
    // No value is larger than the length of all: only where that is too large, or no number, does one need a
    // look.
    const double limit = io::LargestOf(task.out_type);
    if (!(norms.merged <= limit * limit))
      for (const float value : merged)
        if (!(std::fabs(value) <= limit)) RefuseValue(task, value);
    writer_.Write(t, piece.first, merged);
    const std::lock_guard lock(mutex_);
    norms_[t].merged += norms.merged;
    norms_[t].sources += norms.sources;
  }

  const ModelMerge& merge_;
  std::vector<const TensorTask*> tasks_;
  io::ParallelSafetensorsWriter writer_;
  std::mutex mutex_;  // of what follows
  std::vector<Norms> norms_;
  std::vector<std::unique_ptr<TensorReader>> readers_;  // that no thread uses
  struct {
    std::int64_t done = 0, total = 0;
  } progress_;
};

ModelMerge::ModelMerge(merge::MergeConfig config, ModelMergeSettings settings, const ResolveName& resolve)
    : config_(std::move(config)), settings_(std::move(settings)), models_(config_, resolve) {
  std::vector<const model::WeightSource*> sources;
  for (const auto& source : models_.sources()) sources.push_back(source.get());
  plan_ = merge::MakePlan(config_, sources, {.mergekit_numerics = settings_.mergekit_numerics});
  models_.Complete(plan_);
  if (!settings_.masks.empty()) choices_ = merge::ReadStoredChoices(settings_.masks, plan_.models);
}

ModelMerge::~ModelMerge() = default;

void ModelMerge::MergeOne(const TensorTask& task, TensorReader& reader,
                          const merge::PieceWriter& write) const {
  const merge::SourceReader read = reader.Read();
  if (!settings_.mergekit_numerics)
    return merge::MergeTensor(task, settings_.seed, read, write, reader.Find());
  std::vector<std::vector<float>> values(task.sources.size(), std::vector<float>(task.size()));
  std::vector<std::span<const float>> inputs;
  std::vector<merge::Values> pointers;
  for (std::size_t s = 0; s < values.size(); ++s) {
    read(s, 0, values[s]);
    RoundTo(task.work_type, values[s]);
    inputs.emplace_back(values[s]);
    pointers.push_back({.at = values[s].data()});
  }
  std::vector<float> merged(task.size());
  merge::MergeTensorAsMergekit(task, inputs, settings_.seed, choices_, merged);
  write({.size = task.size(), .inputs = pointers.data()}, merged);
}

std::uint64_t ModelMerge::MemoryOf(const TensorTask& task) const {
  // mergekit's numerics hold whole tensors: sources, their changes, what becomes of them, and one rounded
  // step.
  if (settings_.mergekit_numerics) return task.size() * sizeof(float) * (3 * task.sources.size() + 2);
  return merge::MergeBytes(task, ThreadPool::Global().num_threads()) + TensorReader::kMostKept;
}

io::Json ModelMerge::Describe() const {
  std::uint64_t elements = 0, bytes = 0, memory = 0;
  for (const TensorTask& task : plan_.tensors) {
    elements += task.size();
    bytes += task.size() * io::BytesOf(task.out_type);
    memory = std::max(memory, MemoryOf(task));
  }
  io::Json models = io::Json::array();
  for (std::size_t m = 0; m < plan_.models.size(); ++m)
    models.push_back({{"name", plan_.models[m]}, {"path", models_.paths()[m].string()}});
  return {{"method", config_.method->name},
          {"numerics", settings_.mergekit_numerics ? "mergekit" : "exact"},
          {"seed", settings_.seed},
          {"models", std::move(models)},
          {"config_from", plan_.models[static_cast<std::size_t>(plan_.config_model)]},
          {"layers", plan_.config.num_hidden_layers},
          {"tensors", plan_.tensors.size()},
          {"parameters", elements},
          {"dtype", io::LongName(StoredAs(plan_))},
          {"bytes", bytes},
          {"memory_bytes", memory + kMergeBaseBytes},
          {"vocabulary", models_.DescribeVocabulary()},
          {"chat_template", models_.DescribeChatTemplate()},
          {"notes", plan_.notes}};
}

io::Json ModelMerge::Preview() {
  io::Json preview = Describe();
  std::vector<const TensorTask*> tasks;
  double elements = 0;
  for (const TensorTask& task : plan_.tensors) {
    tasks.push_back(&task);
    elements += static_cast<double>(task.size());
  }
  std::sort(tasks.begin(), tasks.end(), [](const auto* a, const auto* b) { return a->size() < b->size(); });
  const TensorTask& trial = *tasks[tasks.size() * 9 / 10];  // one of the large ones, which take the time
  TensorReader reader(models_.sources());
  reader.Open(trial, true);
  const auto start = std::chrono::steady_clock::now();
  MergeOne(trial, reader, [](const merge::Piece&, std::span<const float>) {});
  preview["estimated_seconds"] = SecondsSince(start) * elements / static_cast<double>(trial.size());
  return preview;
}

void ModelMerge::AddSmokeTest(const fs::path& merged, MetricSink& sink, io::Json& report) const {
  report["smoke_test"] = nullptr;
  if (!settings_.smoke_test || !HasTokenizer(merged)) return;
  try {
    report["smoke_test"] =
        RunMergeSmokeTest(merged, models_.paths()[static_cast<std::size_t>(plan_.config_model)], sink);
  } catch (const Error& error) {  // the weights are right without it
    report["notes"].push_back("the result was not run on texts: " + error.fields().why);
  }
}

io::Json ModelMerge::Write(const fs::path& out, MetricSink& sink, const StopToken& stop) {
  const auto start = std::chrono::steady_clock::now();
  io::AtomicFolder folder(out, settings_.replace);
  Writing writing(*this, folder.path());
  writing.Run(sink, stop);
  io::Json report = Describe();
  report["bytes"] = writing.bytes();
  report["shards"] = writing.num_shards();
  report["merge_seconds"] = SecondsSince(start);
  report["norm_drift"] = ToJson(writing.Drift());
  report["recipe"] = settings_.recipe;
  model::WriteConfigFiles(folder.path(), plan_.config, StoredAs(plan_));
  models_.WriteTokenizer(folder.path(), plan_.config.max_position_embeddings);
  if (settings_.hash) AddHashes(models_.paths(), folder.path(), sink, report);
  AddSmokeTest(folder.path(), sink, report);
  report["warnings"] = MergeWarnings(report);
  // Answers may end within a character, and tokens may be any bytes.
  io::WriteFileAtomically(folder.path() / "merge_report.json",
                          report.dump(2, ' ', false, io::Json::error_handler_t::replace) + "\n");
  io::WriteFileAtomically(folder.path() / "README.md", ModelCard(report, out.filename().string()));
  folder.Commit();
  return report;
}

}  // namespace forge::pipeline

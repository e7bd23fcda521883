// SPDX-License-Identifier: Apache-2.0
#include "pipeline/unified_pipeline.h"

#include <fmt/format.h>

#include "base/error.h"
#include "io/sha256.h"
#include "pipeline/compress_stage.h"
#include "pipeline/evolve_stage.h"
#include "pipeline/reason_stage.h"
#include "pipeline/starter_suite.h"
#include "runtime/native_model.h"
#include "track/store_metric_sink.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;
using io::Json;

bool IsDone(const RunContext& context, const char* stage) {
  const std::optional<track::Stage> found = context.store->FindStage(context.run, stage);
  return found && found->state == track::State::kDone;
}

void Skip(const RunContext& context, const char* stage) {
  context.store->BeginStage(context.run, stage);
  context.store->EndStage(context.run, stage, track::State::kSkipped);
}

/// The names that nobody gave are those of the seed's example; with the starter preset the suite stands for
/// them.
bool WantsStarter(const UnifiedConfig& config) {
  return config.preset == "starter" && !config.no_evomerge &&
         config.evolve.base_models == EvolveConfig{}.base_models;
}

void UseStarterSuite(UnifiedConfig& config, const RunContext& context) {
  const fs::path folder = fs::path(config.evolve.models_dir) / fmt::format("starter-seed{}", context.seed);
  StarterConfig starter{.out = folder.string(), .seed = context.seed, .device = context.device};
  if (!IsDone(context, "starter")) {
    context.store->BeginStage(context.run, "starter");
    track::StoreMetricSink sink(*context.store, context.run, "starter", context.terminal);
    const StarterTable table = TrainStarterSuite(starter, sink, *context.stop);
    sink.Log(ShowStarterTable(table));
    io::Json rows = io::Json::object();
    for (const StarterRow& row : table.rows) rows[row.model] = row.correct;
    context.store->EndStage(context.run, "starter", track::State::kDone,
                            {{"n", table.n}, {"correct", rows}, {"misses", table.misses}});
  }
  config.evolve.base = (folder / "base").string();
  config.evolve.base_models = {(folder / "math").string(), (folder / "code").string(),
                               (folder / "structured").string()};
}

std::string Sample(const fs::path& path, const std::string& prompt) {
  ModelToRun loaded = LoadModelToRun(path);
  runtime::NativeModel model(std::move(loaded.weights));
  model::GenerateOptions options{.max_new_tokens = 48, .stop_token_ids = model.config().eos_token_ids};
  const std::vector<int> newline = loaded.tokenizer->Encode("\n");
  if (prompt.starts_with("m "))
    options.stop_token_ids.insert(options.stop_token_ids.end(), newline.begin(), newline.end());
  const std::vector<model::GenerateRequest> requests{{loaded.tokenizer->Encode(prompt), 0}};
  return prompt + loaded.tokenizer->Decode(model.Generate(requests, options)[0].tokens, true);
}

}  // namespace

Json RunUnifiedPipeline(UnifiedConfig config, const RunContext& context) {
  const bool starter_tasks = config.evolve.tasks == "starter";
  fs::path current;
  if (config.no_evomerge) {
    if (config.input_model.empty())
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "there is no model to start from",
                   .why = "--no-evomerge leaves out the stage that makes one",
                   .fix = "give --input-model"});
    current = ResolveModel(config.input_model, config.evolve.models_dir);
    if (!IsDone(context, "evolve")) Skip(context, "evolve");
  } else {
    if (WantsStarter(config)) UseStarterSuite(config, context);
    if (!IsDone(context, "evolve")) RunEvolveStage(config.evolve, context);
    current = context.folder / "evolve" / "champion";
  }
  if (config.no_quietstar) {
    Skip(context, "reason");
  } else {
    if (!IsDone(context, "reason")) RunReasonStage(config.reason, LoadModel(current), context);
    current = context.folder / "reason" / "baked";
  }
  if (config.no_compression) {
    Skip(context, "compress");
  } else {
    if (!IsDone(context, "compress")) RunCompressStage(config.compress, LoadModel(current), context);
    current = context.folder / "compress" / "model.gguf";
  }
  for (const char* name :
       {"evolve/champion/model.safetensors", "reason/baked/model.safetensors", "compress/model.gguf"})
    if (const fs::path file = context.folder / name; fs::exists(file))
      context.store->RecordArtifact(
          context.run,
          {.name = name, .path = name, .bytes = fs::file_size(file), .sha256 = io::Sha256OfFile(file)});
  const std::string prompt = !config.sample_prompt.empty() ? config.sample_prompt
                             : starter_tasks               ? "m 3245  ="
                                                           : "Once upon a time";
  return {{"final_model", current.string()}, {"sample", Sample(current, prompt)}};
}

}  // namespace forge::pipeline

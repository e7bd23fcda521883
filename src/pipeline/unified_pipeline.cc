// SPDX-License-Identifier: Apache-2.0
#include "pipeline/unified_pipeline.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"
#include "base/free_memory.h"
#include "io/sha256.h"
#include "pipeline/compress_stage.h"
#include "pipeline/evolve_stage.h"
#include "pipeline/reason_stage.h"
#include "pipeline/starter_batches.h"
#include "pipeline/starter_suite.h"
#include "pipeline/tasks.h"
#include "runtime/native_model.h"
#include "text/byte_tokenizer.h"
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

StarterConfig StarterOf(const UnifiedConfig& config, std::uint64_t seed) {
  const fs::path folder = fs::path(config.evolve.models_dir) / fmt::format("starter-seed{}", seed);
  return {.out = folder.string(), .seed = seed};
}

/// The compressed model is measured on as many items as the champion.
CompressSettings CompressOf(const UnifiedConfig& config) {
  CompressSettings settings = config.compress;
  settings.eval_samples = config.evolve.test_items;
  return settings;
}

void UseStarterSuite(UnifiedConfig& config, const StarterConfig& starter) {
  const fs::path folder = starter.out;
  config.evolve.base = (folder / "base").string();
  config.evolve.base_models = {(folder / "math").string(), (folder / "code").string(),
                               (folder / "structured").string()};
}

void TrainStarter(StarterConfig starter, const RunContext& context) {
  starter.device = context.device;
  context.store->BeginStage(context.run, "starter");
  track::StoreMetricSink sink(*context.store, context.run, "starter", context.terminal);
  const StarterTable table = TrainStarterSuite(starter, sink, *context.stop);
  sink.Log(ShowStarterTable(table));
  io::Json rows = io::Json::object();
  for (const StarterRow& row : table.rows) rows[row.model] = row.correct;
  context.store->EndStage(context.run, "starter", track::State::kDone,
                          {{"n", table.n}, {"correct", rows}, {"misses", table.misses}});
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

UnifiedInputs LoadUnifiedInputs(const UnifiedConfig& given, const StartPoint& start) {
  UnifiedConfig config = given;
  const auto is_left = [&](const char* stage, bool left_out) {
    return !left_out && !start.finished_stages.contains(stage);
  };
  const bool evolves = is_left("evolve", config.no_evomerge),
             reasons = is_left("reason", config.no_quietstar),
             compresses = is_left("compress", config.no_compression);
  UnifiedInputs inputs{.trains = compresses && compress::NeedsEngine(config.compress.compress)};
  LoadedModel shape;  // of the model that the later stages will get, as far as it is known now
  if (config.no_evomerge) {
    if (config.input_model.empty())
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "there is no model to start from",
                   .why = "--no-evomerge leaves out the stage that makes one",
                   .fix = "give --input-model"});
    if (reasons || (config.no_quietstar && (compresses || config.no_compression))) {
      inputs.model = LoadModel(ResolveModel(config.input_model, config.evolve.models_dir));
      shape = {.path = inputs.model->path,
               .config = inputs.model->config,
               .ternary = reasons ? model::TernaryWeights() : inputs.model->ternary,
               .tokenizer = inputs.model->tokenizer};
    }
  } else if (evolves && WantsStarter(config) && !start.finished_stages.contains("starter")) {
    inputs.trains |= CheckStarterSuite(StarterOf(config, start.seed));
    LoadTasks(config.evolve.tasks,
              {config.evolve.search_items, config.evolve.selection_items, config.evolve.test_items});
    shape = {.config = StarterModelConfig(),
             .tokenizer = std::make_shared<text::Tokenizer>(text::MakeByteTokenizer())};
  } else if (evolves) {
    if (WantsStarter(config)) UseStarterSuite(config, StarterOf(config, start.seed));
    inputs.evolve = LoadEvolveInputs(config.evolve);
    shape = {.config = inputs.evolve->base.config, .tokenizer = inputs.evolve->base.tokenizer};
  }
  if (shape.tokenizer == nullptr) {  // the model of a finished stage: the run knows it
    inputs.trains |= reasons;
    return inputs;
  }
  if (reasons) inputs.trains |= !LoadQuestions(config.reason, *shape.tokenizer).training.empty();
  if (compresses && !shape.ternary.empty())
    throw Error({.what = "cannot compress " + shape.path.string(),
                 .why = "its linears are ternary already",
                 .fix = "give the uncompressed model, or add --no-compression"});
  if (compresses) LoadCompressDomains(CompressOf(config), shape.config);
  return inputs;
}

Json RunUnifiedPipeline(UnifiedConfig config, UnifiedInputs inputs, const RunContext& context) {
  const bool starter_tasks = config.evolve.tasks == "starter";
  fs::path current;
  if (config.no_evomerge) {
    if (inputs.model) current = inputs.model->path;
    if (!IsDone(context, "evolve")) Skip(context, "evolve");
  } else {
    if (WantsStarter(config)) {
      const StarterConfig starter = StarterOf(config, context.seed);
      UseStarterSuite(config, starter);
      if (!IsDone(context, "starter")) TrainStarter(starter, context);
    }
    if (!IsDone(context, "evolve"))
      RunEvolveStage(config.evolve,
                     inputs.evolve ? std::move(*inputs.evolve) : LoadEvolveInputs(config.evolve), context);
    current = context.folder / "evolve" / "champion";
  }
  inputs.evolve.reset();
  ReturnFreeMemory();
  const auto model = [&] {
    return inputs.model ? std::move(*std::exchange(inputs.model, {})) : LoadModel(current);
  };
  if (config.no_quietstar) {
    Skip(context, "reason");
  } else {
    if (!IsDone(context, "reason")) {
      LoadedModel input = model();
      QuestionSet questions = LoadQuestions(config.reason, *input.tokenizer);
      RunReasonStage(config.reason, std::move(questions), std::move(input), context);
    }
    current = context.folder / "reason" / "baked";
    ReturnFreeMemory();
  }
  if (config.no_compression) {
    Skip(context, "compress");
  } else {
    if (!IsDone(context, "compress")) {
      inputs.model.reset();
      const OpenedModel input = OpenModel(current);
      const CompressSettings settings = CompressOf(config);
      RunCompressStage(settings, LoadCompressDomains(settings, input.config), input, context);
    }
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

// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/thread_pool.h"
#include "cli/command_list.h"
#include "cli/run_flags.h"
#include "cli/train_config.h"
#include "io/atomic_file.h"
#include "io/config_file.h"
#include "io/sha256.h"
#include "pipeline/model_source.h"
#include "pipeline/training_data.h"
#include "train/engine.h"
#include "train/memory_plan.h"

namespace forge::cli {
namespace {

constexpr const char* kLinears[] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                    "gate_proj", "up_proj", "down_proj"};

Error UsageError(const std::string& what, const std::string& why, const std::string& fix) {
  return Error({.kind = ErrorKind::kUsage, .what = what, .why = why, .fix = fix});
}

class TrainCommand : public Command {
 public:
  std::string Name() const override { return "train"; }
  std::string Summary() const override {
    return "Fine-tune a model, or a LoRA adapter to it, on prompts and completions or on texts.";
  }
  std::string Example() const override {
    return "forge train models/base --data math.jsonl --out models/math --lora-rank 16 --max-memory-gb 4";
  }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositional("MODEL", model_, "The model to fine-tune: a folder or GGUF file.", false);
    flags.AddConfig(config_);
    flags.AddAlias("--lr", "--learning-rate");
    flags.AddSwitch("--mask-prompt", masks_prompt_,
                    "Learn completions only, not their prompts (the default).");
    flags.AddSwitch("--no-mask-prompt", learns_prompt_, "Learn prompts as well.");
    flags.AddText("--models-dir", models_dir_, "Folder that names of models are looked up in.");
    flags.AddWord("--device", device_, {"auto", "cpu", "cuda"}, "Where to train.");
    flags.AddSeed("--seed", seed_, "Same seed, same machine: same bytes.");
  }
  int Run(const FlagSet&, Terminal& terminal) override {
    CheckFlags();
    io::CheckNewFolder(config_.out);
    pipeline::LoadedModel model = pipeline::LoadModel(pipeline::ResolveModel(config_.model, models_dir_));
    pipeline::WidenTernary(model);
    pipeline::TrainingData data = ReadData(model, terminal);
    const train::LoraSettings lora = ChooseLora(model.config, terminal);
    const std::string device = ChooseDevice(device_, true);
    const bool packs = config_.batch_rows == 0;
    const int rows = packs ? std::max(1, config_.batch_tokens / config_.sequence_length) : config_.batch_rows;
    const std::size_t items = data.documents.size();
    const train::PackedRows packed(std::move(data.documents), std::max(config_.sequence_length, MaxTokens()),
                                   packs, seed_);
    const train::MemoryRequest request{
        .rows = rows,
        .length = packs ? config_.sequence_length : MaxTokens(),
        .threads = ThreadPool::Global().num_threads(),
        .lora = lora,
        .precision = train::ChoosePrecision(config_.precision, device),
        .advice = std::string(lora.rank == 0 ? ", train an adapter with --lora-rank 16" : "") +
                  ", or shorter rows with --sequence-length"};
    const train::MemoryPlan plan = train::ChooseMemoryPlan(
        model.config, request, static_cast<std::uint64_t>(config_.max_memory_gb * 1e9));
    terminal.Log(train::Describe(plan));
    terminal.Log(fmt::format("training {} in {} on {} documents in {} rows, {:.0f} % full",
                             lora.rank > 0 ? fmt::format("an adapter of rank {}", lora.rank) : "all weights",
                             request.precision == train::Precision::kBFloat16 ? "bf16" : "f32", items,
                             packed.num_rows(), 100 * packed.fill()));

    std::vector<double> step_starts;
    // The checkpoint lies beside the result, so that the same command goes on after a stop.
    const std::filesystem::path checkpoint = config_.out + ".checkpoint.safetensors";
    if (checkpoint.has_parent_path()) io::CreateFolders(checkpoint.parent_path());
    const train::JobEnvironment environment{.device = device,
                                            .sink = &terminal,
                                            .stop = &terminal.stop(),
                                            .name = "train",
                                            .checkpoint = checkpoint,
                                            .checkpoint_interval = 50,
                                            .identity = Identity(data.sha256),
                                            .tokens_per_step = packs ? rows * config_.sequence_length : 0};
    train::TuneJob job;
    job.config = model.config;
    job.weights = &model.weights;
    job.steps = config_.steps;
    job.micro_batches = plan.micro_batches;
    job.lora = lora;
    job.recompute_activations = plan.recompute_activations;
    job.precision = request.precision;
    job.environment = &environment;
    job.optimizer = {.learning_rate = config_.learning_rate,
                     .warmup_steps = std::min(20, std::max(1, config_.steps / 10)),
                     .weight_decay = config_.weight_decay};
    job.batch = [&](int step, int micro) {
      if (micro == 0) step_starts.push_back(Seconds());
      const int first = micro * plan.micro_rows;
      return packed.Batch(static_cast<std::uint64_t>(step) * static_cast<std::uint64_t>(rows) +
                              static_cast<std::uint64_t>(first),
                          std::min(plan.micro_rows, rows - first));
    };
    const train::TuneResult result = train::OpenEngine().Tune(job);
    if (lora.rank > 0)
      model::SaveLoraAdapter(config_.out, result.adapter, model.path.string());
    else
      pipeline::SaveLoadedModel(config_.out, model, model::CountParameters(model.config) < kSmallModelWeights,
                                false);
    std::error_code ignored;  // a checkpoint of a finished training takes space and nothing else
    std::filesystem::remove(checkpoint, ignored);
    Report(result, items, MedianRate(step_starts, environment.tokens_per_step), lora, plan, terminal);
    return 0;
  }

 private:
  static double Seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
  /// Tokens a second in the step of median length: pauses for checkpoints and of other programs do not count.
  static double MedianRate(const std::vector<double>& starts, int tokens) {
    std::vector<double> steps;
    for (std::size_t i = 1; i < starts.size(); ++i) steps.push_back(starts[i] - starts[i - 1]);
    if (steps.empty() || tokens == 0) return 0;
    std::nth_element(steps.begin(), steps.begin() + static_cast<std::ptrdiff_t>(steps.size() / 2),
                     steps.end());
    return tokens / steps[steps.size() / 2];
  }

  void CheckFlags() {
    if (config_.model.empty()) config_.model = model_;
    if (!model_.empty() && model_ != config_.model)
      throw UsageError("two models were given", "MODEL is " + model_ + ", --model " + config_.model,
                       "give one of them");
    for (const auto& [flag, value] :
         {std::pair{"MODEL", config_.model}, {"--data", config_.data}, {"--out", config_.out}})
      if (value.empty())
        throw UsageError(std::string("forge train needs ") + flag, "it has no default",
                         "see forge train --help");
    if (config_.full && config_.lora_rank > 0)
      throw UsageError("--full and --lora-rank were given", "either all weights are trained or an adapter is",
                       "give one of them");
    if (masks_prompt_ && learns_prompt_)
      throw UsageError("--mask-prompt and --no-mask-prompt were given", "they are opposites",
                       "give one of them");
  }
  int MaxTokens() const { return config_.max_tokens > 0 ? config_.max_tokens : config_.sequence_length; }

  pipeline::TrainingData ReadData(const pipeline::LoadedModel& model, Terminal& terminal) const {
    if (config_.batch_rows == 0 && MaxTokens() > config_.sequence_length)
      throw UsageError(fmt::format("--max-tokens is {}", MaxTokens()),
                       fmt::format("a row has {} tokens", config_.sequence_length),
                       fmt::format("give --sequence-length {}", MaxTokens()));
    pipeline::TrainingData data = pipeline::ReadTrainingData(config_.data, *model.tokenizer, model.config,
                                                             {.max_tokens = MaxTokens(),
                                                              .masks_prompts = !learns_prompt_,
                                                              .text_separator = config_.document_separator});
    if (data.left_out > 0)
      terminal.Log(fmt::format("left out {} of {} items that are longer than {} tokens", data.left_out,
                               data.left_out + data.documents.size(), MaxTokens()));
    return data;
  }

  train::LoraSettings ChooseLora(const model::ModelConfig& config, Terminal& terminal) const {
    int rank = config_.lora_rank;
    if (rank == 0 && !config_.full && model::CountParameters(config) >= kSmallModelWeights) {
      rank = kDefaultLoraRank;
      terminal.Log(
          fmt::format("the model has {:.0f} million weights: an adapter of rank {} is trained; --full "
                      "trains all weights",
                      static_cast<double>(model::CountParameters(config)) / 1e6, rank));
    }
    train::LoraSettings lora{
        .rank = rank, .alpha = config_.lora_alpha > 0 ? config_.lora_alpha : 2.0 * rank, .seed = seed_};
    for (const std::string& target : config_.lora_target) {
      if (target == "all")
        lora.targets.assign(std::begin(kLinears), std::end(kLinears));
      else if (std::find(std::begin(kLinears), std::end(kLinears), target) != std::end(kLinears))
        lora.targets.push_back(target);
      else
        throw UsageError("--lora-target has " + target, "no linear has that name",
                         "give some of q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj, or all");
    }
    return lora;
  }

  /// Of all that decides the bytes of the result and that the engine does not see.
  std::string Identity(const std::string& data_sha256) const {
    io::Json all = io::ConfigToJson(config_);
    all["seed"] = seed_;
    all["masks_prompt"] = !learns_prompt_;
    all["data_sha256"] = data_sha256;
    const std::string text = all.dump();
    return io::Sha256(std::as_bytes(std::span(text)));
  }

  void Report(const train::TuneResult& result, std::size_t items, double rate,
              const train::LoraSettings& lora, const train::MemoryPlan& plan, Terminal& terminal) const {
    const double loss = result.losses.empty() ? 0 : result.losses.back();
    terminal.PrintJson({{"out", config_.out},
                        {"steps", config_.steps},
                        {"items", items},
                        {"last_loss", loss},
                        {"lora_rank", lora.rank},
                        {"tokens_per_second", rate},
                        {"planned_bytes", plan.total()}});
    terminal.Print(fmt::format("trained {} steps on {} items, last loss {:.4f}{}; the {} is in {}\n",
                               config_.steps, items, loss,
                               rate > 0 ? fmt::format(", {:.4g} tokens/s", rate) : "",
                               lora.rank > 0 ? "adapter" : "model", config_.out));
  }

  TrainConfig config_;
  std::string model_, models_dir_ = "models", device_ = "auto";
  bool masks_prompt_ = false, learns_prompt_ = false;
  std::uint64_t seed_ = 1;
};

}  // namespace

std::unique_ptr<Command> MakeTrainCommand() { return std::make_unique<TrainCommand>(); }

}  // namespace forge::cli

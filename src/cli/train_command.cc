// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/error.h"
#include "base/philox.h"
#include "cli/command_list.h"
#include "cli/run_flags.h"
#include "io/atomic_file.h"
#include "io/json_lines.h"
#include "io/sha256.h"
#include "pipeline/model_source.h"
#include "pipeline/starter_batches.h"
#include "train/engine.h"

namespace forge::cli {
namespace {

struct TrainConfig {
  std::string model, data, out;
  int steps = 200;
  int batch_rows = 8;
  int max_tokens = 256;
  double learning_rate = 1e-4;
  double weight_decay = 0.01;

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit("model", model, AnyValue{}, "The model to fine-tune: a folder or GGUF file.");
    visit("data", data, AnyValue{}, "JSONL file of {prompt, completion}; the completion is learned.");
    visit("out", out, AnyValue{}, "Folder for the fine-tuned model.");
    visit("steps", steps, InRange{1, 10000000}, "Training steps.");
    visit("batch_rows", batch_rows, InRange{2, 4096}, "Items of a step.");
    visit("max_tokens", max_tokens, InRange{2, 100000}, "Longer items are left out.");
    visit("learning_rate", learning_rate, InRange{1e-8, 1}, "Highest learning rate; warm-up, then cosine.");
    visit("weight_decay", weight_decay, InRange{0, 1}, "Of the matrices.");
  }
};

class TrainCommand : public Command {
 public:
  std::string Name() const override { return "train"; }
  std::string Summary() const override { return "Fine-tune a model on prompts and completions."; }
  std::string Example() const override {
    return "forge train --model models/base --data math.jsonl --out models/math --steps 200";
  }
  void AddFlags(FlagSet& flags) override {
    flags.AddConfig(config_);
    flags.AddText("--models-dir", models_dir_, "Folder that names of models are looked up in.");
    flags.AddWord("--device", device_, {"auto", "cpu", "cuda"}, "Where to train.");
    flags.AddSeed("--seed", seed_, "Same seed, same machine: same bytes.");
  }
  int Run(const FlagSet&, Terminal& terminal) override {
    for (const auto& [flag, value] :
         {std::pair{"--model", config_.model}, {"--data", config_.data}, {"--out", config_.out}})
      if (value.empty())
        throw Error({.kind = ErrorKind::kUsage,
                     .what = std::string("forge train needs ") + flag,
                     .why = "it has no default",
                     .fix = "see forge train --help"});
    io::CheckNewFolder(config_.out);
    pipeline::LoadedModel model = pipeline::LoadModel(pipeline::ResolveModel(config_.model, models_dir_));
    pipeline::WidenTernary(model);
    const std::vector<eval::Item> items = ReadItems(*model.tokenizer, terminal);
    const std::string device = ChooseDevice(device_, true);
    const double gib = 5.0 * static_cast<double>(pipeline::WeightBytes(model.config)) / 1073741824.0;
    terminal.Log(fmt::format(
        "memory: about {:.2f} GiB (weights, gradients of two micro-batches, two moments) and the activations",
        gib));
    train::TrainJob job{.config = model.config, .initial = &model.weights, .steps = config_.steps};
    job.optimizer = {.learning_rate = config_.learning_rate,
                     .warmup_steps = std::min(20, std::max(1, config_.steps / 10)),
                     .weight_decay = config_.weight_decay};
    job.batch = [&](int step, int micro) {
      std::vector<eval::Item> batch;
      Random random(seed_, "train/batch", static_cast<std::uint64_t>(step * job.micro_batches + micro));
      for (int row = 0; row < std::max(1, config_.batch_rows / job.micro_batches); ++row)
        batch.push_back(items[random.Below(static_cast<std::uint32_t>(items.size()))]);
      return pipeline::BatchOf(*model.tokenizer, batch, pipeline::Target::kTokens);
    };
    // The checkpoint lies beside the result, so that the same command goes on after a stop.
    const std::filesystem::path checkpoint = config_.out + ".checkpoint.safetensors";
    if (checkpoint.has_parent_path()) io::CreateFolders(checkpoint.parent_path());
    job.environment = {.device = device,
                       .sink = &terminal,
                       .stop = &terminal.stop(),
                       .name = "train",
                       .checkpoint = checkpoint,
                       .checkpoint_interval = 50,
                       .identity = IdentityOf(items)};
    train::TrainResult result = train::OpenEngine().Train(job);
    model.weights = std::move(result.weights);
    pipeline::SaveLoadedModel(config_.out, model, model::CountParameters(model.config) < 20'000'000, false);
    std::error_code ignored;  // a checkpoint of a finished training takes space and nothing else
    std::filesystem::remove(checkpoint, ignored);
    const double loss = result.losses.empty() ? 0 : result.losses.back();
    terminal.PrintJson(
        {{"out", config_.out}, {"steps", config_.steps}, {"items", items.size()}, {"last_loss", loss}});
    terminal.Print(fmt::format("trained {} steps on {} items, last loss {:.4f}; the model is in {}\n",
                               config_.steps, items.size(), loss, config_.out));
    return 0;
  }

 private:
  /// Of all that decides the bytes of the result.
  std::string IdentityOf(const std::vector<eval::Item>& items) const {
    io::Json all = io::ConfigToJson(config_);
    all["seed"] = seed_;
    for (const eval::Item& item : items) all["items"].push_back({item.prompt, item.completion});
    const std::string text = all.dump();
    return io::Sha256(std::as_bytes(std::span(text)));
  }
  std::vector<eval::Item> ReadItems(const text::Tokenizer& tokenizer, Terminal& terminal) const {
    io::JsonLines lines(config_.data, "{\"prompt\": .., \"completion\": ..} with texts that are not empty");
    std::vector<eval::Item> items;
    int left_out = 0;
    while (lines.Next()) {
      eval::Item item{lines.FilledText("prompt"), lines.FilledText("completion")};
      if (static_cast<int>(tokenizer.Encode(item.prompt + item.completion).size()) > config_.max_tokens)
        ++left_out;
      else
        items.push_back(std::move(item));
    }
    if (left_out > 0)
      terminal.Log(fmt::format("left out {} of {} items that are longer than {} tokens", left_out,
                               left_out + items.size(), config_.max_tokens));
    if (items.empty())
      throw Error({.what = "there is nothing to train on in " + config_.data,
                   .why = left_out > 0 ? "every item is longer than --max-tokens" : "the file has no items",
                   .fix = "give a JSONL file of {prompt, completion}, or raise --max-tokens"});
    return items;
  }

  TrainConfig config_;
  std::string models_dir_ = "models", device_ = "auto";
  std::uint64_t seed_ = 1;
};

}  // namespace

std::unique_ptr<Command> MakeTrainCommand() { return std::make_unique<TrainCommand>(); }

}  // namespace forge::cli

// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/philox.h"
#include "base/thread_pool.h"
#include "cli/command_list.h"
#include "cli/model_flags.h"
#include "runtime/machine_limits.h"

namespace forge::cli {
namespace {

struct BenchConfig {
  int prompt_tokens = 512;
  int new_tokens = 64;
  int repetitions = 3;

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit("prompt_tokens", prompt_tokens, InRange{0, 1e6},
          "Tokens of the prompt that is read; 0: no such test.");
    visit("new_tokens", new_tokens, InRange{0, 1e6},
          "Tokens that are generated, one by one; 0: no such test.");
    visit("repetitions", repetitions, InRange{1, 1000}, "Runs of each test after one that is not counted.");
  }
};

/// Tokens a second of the runs of one test.
struct Rates {
  std::vector<double> runs;

  double Median() const {
    std::vector<double> sorted = runs;
    std::sort(sorted.begin(), sorted.end());
    const std::size_t half = sorted.size() / 2;
    return sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  }
  double Least() const { return *std::min_element(runs.begin(), runs.end()); }
  double Most() const { return *std::max_element(runs.begin(), runs.end()); }
};

class BenchCommand : public Command {
 public:
  std::string Name() const override { return "bench"; }
  std::string Summary() const override {
    return "Measure how fast a model reads (pp) and writes (tg) on this machine.";
  }
  std::string Example() const override { return "forge bench models/starter/base --prompt-tokens 128"; }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositional("MODEL", name_, "A model folder or a GGUF file.");
    flags.AddConfig(config_);
    model_.AddTo(flags);
  }

  int Run(const FlagSet&, Terminal& terminal) override {
    const RunnableModel model = model_.LoadToRun(name_);
    const model::ModelConfig& config = model.model->config();
    const int longest = std::max(config_.prompt_tokens, config_.new_tokens + 1);
    if (longest > config.max_position_embeddings)
      throw Error({.kind = ErrorKind::kUsage,
                   .what = fmt::format("cannot measure {} tokens with {}", longest, name_),
                   .why = fmt::format("the model knows {} positions", config.max_position_embeddings),
                   .fix = "give smaller --prompt-tokens and --new-tokens"});
    const double bandwidth = runtime::MeasureReadBandwidth(), peak = runtime::MeasureFloatPeak();
    const auto weight_bytes = static_cast<double>(model.model->weight_bytes());
    terminal.Print(fmt::format("{}: {:.1f} MiB of weights, {} threads, kernels {}\n", model.name,
                               weight_bytes / 1048576, ThreadPool::Global().num_threads(),
                               forge::Name(runtime::KernelTarget())));
    terminal.Print(fmt::format("machine: {:.1f} GB/s read from memory, {:.0f} GFLOP/s\n", bandwidth * 1e-9,
                               peak * 1e-9));
    io::Json json{{"model", model.name},
                  {"weight_bytes", model.model->weight_bytes()},
                  {"threads", ThreadPool::Global().num_threads()},
                  {"kernels", forge::Name(runtime::KernelTarget())},
                  {"memory_bytes_per_second", bandwidth},
                  {"float_operations_per_second", peak},
                  {"tests", io::Json::array()}};
    if (config_.prompt_tokens > 0) {
      const Rates rates = Measure(config_.prompt_tokens, terminal, [&] { ReadPrompt(*model.model); });
      const double operations = 2 * PrefillWeights(config) * rates.Median();
      Show("pp", config_.prompt_tokens, rates, "of the multiply-add peak", peak > 0 ? operations / peak : 0,
           terminal, json);
    }
    if (config_.new_tokens > 0) {
      const Rates rates = Measure(config_.new_tokens, terminal, [&] { Write(*model.model); });
      Show("tg", config_.new_tokens, rates, "of the memory bandwidth",
           weight_bytes * rates.Median() / bandwidth, terminal, json);
    }
    terminal.PrintJson(json);
    return 0;
  }

 private:
  Rates Measure(int tokens, Terminal& terminal, const std::function<void()>& work) const {
    Rates rates;
    for (int run = 0; run <= config_.repetitions; ++run) {
      if (terminal.stop().stop_requested())
        throw Error({.kind = ErrorKind::kInterrupted,
                     .what = "stopped on request",
                     .why = "a test was not finished",
                     .fix = "run the same command again"});
      const auto start = std::chrono::steady_clock::now();
      work();
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      if (run > 0) rates.runs.push_back(tokens / seconds.count());
    }
    return rates;
  }

  /// Random tokens, and the logits after the last one, as llama-bench does.
  void ReadPrompt(runtime::NativeModel& model) const {
    std::vector<int> tokens(static_cast<std::size_t>(config_.prompt_tokens));
    Random random(1, "bench");
    for (int& token : tokens)
      token = static_cast<int>(random.Below(static_cast<std::uint64_t>(model.config().vocab_size)));
    model.HeadLogits(model.LastHidden({&tokens, 1}));
  }
  void Write(runtime::NativeModel& model) const {
    const model::GenerateRequest request{{0}, 1};
    model.Generate({&request, 1}, {.max_new_tokens = config_.new_tokens});
  }

  /// Weights of the linears: a prompt token is multiplied with each once (attention left out).
  static double PrefillWeights(const model::ModelConfig& config) {
    double weights = 0;
    for (const model::TensorSpec& spec : model::ListTensors(config))
      if (model::IsLinear(spec)) weights += static_cast<double>(spec.shape[0] * spec.shape[1]);
    return weights;
  }

  static void Show(const char* name, int tokens, const Rates& rates, const char* limit, double share,
                   Terminal& terminal, io::Json& json) {
    terminal.Print(fmt::format("{}{:<6} {:>9.1f} tokens/s  ({:.1f} to {:.1f}), {:.0f} % {}\n", name, tokens,
                               rates.Median(), rates.Least(), rates.Most(), 100 * share, limit));
    json["tests"].push_back({{"test", name},
                             {"tokens", tokens},
                             {"tokens_per_second", rates.Median()},
                             {"runs", rates.runs},
                             {"share_of_limit", share}});
  }

  std::string name_;
  BenchConfig config_;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeBenchCommand() { return std::make_unique<BenchCommand>(); }

}  // namespace forge::cli

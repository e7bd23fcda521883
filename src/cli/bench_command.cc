// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>

#include "base/error.h"
#include "base/philox.h"
#include "base/thread_pool.h"
#include "cli/command_list.h"
#include "cli/model_flags.h"
#include "model/gguf_model.h"
#include "model/random_ternary.h"
#include "runtime/machine_limits.h"
#include "runtime/session.h"

namespace forge::cli {
namespace {

struct BenchConfig {
  int prompt_tokens = 512;
  int new_tokens = 64;
  int context_tokens = 0;
  int repetitions = 3;

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit("prompt_tokens", prompt_tokens, InRange{0, 1e6},
          "Tokens of the prompt that is read; 0: no such test.");
    visit("new_tokens", new_tokens, InRange{0, 1e6},
          "Tokens that are generated, one by one, and by 16 sequences at once; 0: no such tests.");
    visit("context_tokens", context_tokens, InRange{0, 1e6},
          "Tokens that stand before those that are generated one by one; the 16 sequences begin without.");
    visit("repetitions", repetitions, InRange{1, 1000}, "Runs of each test after one that is not counted.");
  }
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

/// The runs of one test: tokens a second, and the limit of the machine (operations or bytes a second)
/// measured before and after each. A machine that others use too changes within a second, so that only
/// neighbours compare.
struct Runs {
  std::vector<double> rates, limits, shares;
};

/// Memory that the process holds now, in MB.
double ResidentMegabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) return std::stod(line.substr(6)) * 1024e-6;
  return 0;
}

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

constexpr int kBatch = 16;

class BenchCommand : public Command {
 public:
  std::string Name() const override { return "bench"; }
  std::string Summary() const override {
    return "Measure how fast a model reads (pp) and writes (tg) on this machine.";
  }
  std::string Example() const override { return "forge bench models/starter/base --prompt-tokens 128"; }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositional("MODEL", name_, "A model folder, a GGUF or packed file; not with --random-shape.",
                        false);
    std::vector<std::string> shapes = model::RandomShapes();
    shapes.insert(shapes.begin(), "none");
    flags.AddWord("--random-shape", shape_, shapes,
                  "Measure random ternary weights of the shape of a well-known model instead.");
    flags.AddWord("--random-embeddings", embeddings_, {"f16", "q8_0", "q4_0"},
                  "How the embedding (and head) of a random model is held.");
    flags.AddSeed("--seed", seed_, "Of the random model.");
    flags.AddText(
        "--write-gguf", gguf_,
        "Write the random model to this file and measure nothing: linears as TQ2_0 (Q4_0 where rows "
        "do not fill blocks of 256), no tokenizer.",
        "file");
    flags.AddConfig(config_);
    model_.AddTo(flags, "auto");
    model_.AddHeadTo(flags);
    model_.AddPinTo(flags);
  }

  int Run(const FlagSet&, Terminal& terminal) override {
    if (name_.empty() == (shape_ == "none"))
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "forge bench needs one model",
                   .why = name_.empty() ? "neither MODEL nor --random-shape is given"
                                        : "both MODEL and --random-shape are given",
                   .fix = "give a model folder or GGUF file, or --random-shape"});
    if (!gguf_.empty()) return WriteGguf(terminal);
    const auto start = std::chrono::steady_clock::now();
    std::unique_ptr<runtime::NativeModel> model = Load();
    load_seconds_ = SecondsSince(start);
    const int longest = std::max(config_.prompt_tokens, config_.context_tokens + config_.new_tokens + 1);
    if (longest > model->config().max_position_embeddings)
      throw Error(
          {.kind = ErrorKind::kUsage,
           .what = fmt::format("cannot measure {} tokens with {}", longest, name_),
           .why = fmt::format("the model knows {} positions", model->config().max_position_embeddings),
           .fix = "give smaller --prompt-tokens, --context-tokens and --new-tokens"});
    const std::vector<int> first{0};
    model->HeadLogits(model->LastHidden({&first, 1}));
    first_token_seconds_ = SecondsSince(start);
    const std::unique_ptr<PinnedThreads> pinned = model_.Pin();
    if (pinned) pinned_cores_ = pinned->cores();
    return Measure(*model, terminal);
  }

 private:
  std::unique_ptr<runtime::NativeModel> Load() {
    if (shape_ == "none") {
      runtime::PackedWeights weights = model_.LoadWeights(name_);
      name_ = pipeline::ShortNameOf(model_.Resolve(name_));
      return std::make_unique<runtime::NativeModel>(std::move(weights));
    }
    name_ = "random " + shape_;
    runtime::PackOptions options = model_.Packing();
    if (model_.weights == "auto")
      options.embeddings = embeddings_ == "f16"    ? runtime::WeightType::kFloat16
                           : embeddings_ == "q8_0" ? runtime::WeightType::kInt8
                                                   : runtime::WeightType::kInt4;
    runtime::PackedWeights weights =
        runtime::PackWeights(*model::RandomTernaryWeights(shape_, seed_), options);
    model_.SetHowToRun(weights);
    model_.CheckHead(name_, weights);
    return std::make_unique<runtime::NativeModel>(std::move(weights));
  }

  int WriteGguf(Terminal& terminal) const {
    if (shape_ == "none")
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "forge bench --write-gguf writes random models only",
                   .why = "--random-shape is not given",
                   .fix = "give --random-shape, or use forge convert for a model"});
    const auto table = embeddings_ == "f16"    ? io::BlockType::kF16
                       : embeddings_ == "q8_0" ? io::BlockType::kQ8_0
                                               : io::BlockType::kQ4_0;
    const auto type_of = [&](const model::TensorSpec& spec) {
      if (!model::IsLinear(spec)) return table;
      return model::Columns(spec) % 256 == 0 ? io::BlockType::kTQ2_0 : io::BlockType::kQ4_0;
    };
    const std::unique_ptr<model::WeightSource> weights = model::RandomTernaryWeights(shape_, seed_);
    const auto vocabulary = static_cast<std::uint32_t>(weights->config().vocab_size);
    const std::string arch = weights->config().model_type == "qwen2" ? "qwen2" : "llama";
    model::SaveGguf(gguf_, *weights, type_of,
                    {{"tokenizer.ggml.model", std::string("no_vocab")}, {arch + ".vocab_size", vocabulary}},
                    "random " + shape_);
    terminal.Print(fmt::format("wrote {}\n", gguf_));
    terminal.PrintJson({{"written", gguf_}});
    return 0;
  }

  int Measure(runtime::NativeModel& model, Terminal& terminal) const {
    const bool is_int8 = model.transformer().activations() == runtime::Activations::kInt8;
    const auto weight_bytes = static_cast<double>(model.weight_bytes());
    const std::size_t key_value_bytes =
        runtime::KeyValueBytesPerToken(model.config(), model.transformer().key_values());
    const int threads = ThreadPool::Global().num_threads();
    terminal.Print(fmt::format("{}: {:.1f} MiB of weights, {} activations, {} threads, kernels {}\n", name_,
                               weight_bytes / 1048576, is_int8 ? "int8" : "float32", threads,
                               forge::Name(runtime::KernelTarget())));
    terminal.Print(
        fmt::format("loaded in {:.3f} s, first token after {:.3f} s\n", load_seconds_, first_token_seconds_));
    const double bandwidth = runtime::MeasureReadBandwidth(), peak = runtime::MeasureFloatPeak(0.1),
                 int8_peak = runtime::MeasureInt8Peak(0.1);
    terminal.Print(
        fmt::format("machine: {:.1f} GB/s read from memory, {:.0f} GFLOP/s, {:.0f} GOP/s in int8\n",
                    bandwidth * 1e-9, peak * 1e-9, int8_peak * 1e-9));
    io::Json json{{"model", name_},
                  {"weight_bytes", model.weight_bytes()},
                  {"activations", is_int8 ? "int8" : "float32"},
                  {"threads", threads},
                  {"pinned_cores", pinned_cores_},
                  {"key_values", runtime::Name(model.transformer().key_values())},
                  {"key_value_bytes_per_token", key_value_bytes},
                  {"context_tokens", config_.context_tokens},
                  {"load_seconds", load_seconds_},
                  {"first_token_seconds", first_token_seconds_},
                  {"kernels", forge::Name(runtime::KernelTarget())},
                  {"target", forge::Name(runtime::KernelTarget())},
                  {"memory_bytes_per_second", bandwidth},
                  {"memory_bandwidth_gb_s", bandwidth * 1e-9},
                  {"float_operations_per_second", peak},
                  {"int8_peak_gop_s", int8_peak * 1e-9},
                  {"tests", io::Json::array()}};
    // An operation is an addition or a multiplication.
    const auto operations = [&] {
      return is_int8 ? runtime::MeasureInt8Peak(0.3) : runtime::MeasureFloatPeak(0.3);
    };
    const double linear_operations = 2 * PrefillWeights(model.config());
    const double head_operations = 2.0 * model.config().hidden_size * model.config().vocab_size;
    if (config_.prompt_tokens > 0) {
      const Runs runs = Repeat(config_.prompt_tokens, linear_operations, operations, terminal, [&] {
        // Random tokens, and the logits after the last one, as llama-bench does.
        const std::vector<int> tokens = RandomTokens(model, config_.prompt_tokens, "bench");
        model.HeadLogits(model.LastHidden({&tokens, 1}));
      });
      Show("pp", "prefill", config_.prompt_tokens, runs, "of the multiply-add peak", terminal, json);
      json["prefill_peak_share"] = Median(runs.shares);
    }
    if (config_.new_tokens > 0) {
      const std::vector<int> context = RandomTokens(model, config_.context_tokens + 1, "bench/context");
      runtime::Session session(model);
      const double key_values = static_cast<double>(key_value_bytes) *
                                (config_.context_tokens + config_.new_tokens / 2.0);  // read for a token
      Runs runs = Repeat(
          config_.new_tokens, weight_bytes + key_values, [] { return runtime::MeasureReadBandwidth(0.3); },
          terminal,
          [&] {
            // Of the context only the last token runs, but for the run that is not counted.
            session.Generate({context, 1}, {.max_new_tokens = config_.new_tokens, .log_probs = false});
          });
      const double read = ShowHead(model, terminal, json);
      for (double& share : runs.shares)
        share *= (weight_bytes * read + key_values) / (weight_bytes + key_values);
      Show("tg", "decode", config_.new_tokens, runs, "of the memory bandwidth", terminal, json);
      json["decode_bandwidth_share"] = Median(runs.shares);
      const Runs batch = Repeat(kBatch * config_.new_tokens, linear_operations + head_operations, operations,
                                terminal, [&] { WriteBatch(model); });
      Show("tg by 16, ", "batch16", config_.new_tokens, batch, "of the multiply-add peak", terminal, json);
      json["batch16_peak_share"] = Median(batch.shares);
    }
    json["rss_mb"] = ResidentMegabytes();
    terminal.Print(fmt::format("memory: {:.0f} MB, of which weights {:.0f} MB\n", ResidentMegabytes(),
                               weight_bytes * 1e-6));
    terminal.PrintJson(json);
    return 0;
  }

  /// Runs `work`, which takes `tokens` tokens that use `cost` of the limit each.
  Runs Repeat(int tokens, double cost, const std::function<double()>& limit, Terminal& terminal,
              const std::function<void()>& work) const {
    Runs runs;
    for (int run = 0; run <= config_.repetitions; ++run) {
      if (terminal.stop().stop_requested())
        throw Error({.kind = ErrorKind::kInterrupted,
                     .what = "stopped on request",
                     .why = "a test was not finished",
                     .fix = "run the same command again"});
      const double before = limit();
      const auto start = std::chrono::steady_clock::now();
      work();
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      if (run == 0) continue;
      runs.limits.push_back((before + limit()) / 2);
      runs.rates.push_back(tokens / seconds.count());
      runs.shares.push_back(runs.limits.back() > 0 ? cost * runs.rates.back() / runs.limits.back() : 0);
    }
    return runs;
  }

  /// How the greedy tokens so far were found; the part of the weights that was read for each.
  static double ShowHead(const runtime::NativeModel& model, Terminal& terminal, io::Json& json) {
    const runtime::Transformer& transformer = model.transformer();
    const bool is_top_k = transformer.CanFindBestTokens(1);
    json["head"] = is_top_k ? "top-k" : "full";
    if (!is_top_k) return 1;
    const runtime::BestTokenCounts counts = transformer.best_token_counts();
    const double exact = static_cast<double>(counts.exact_rows) / static_cast<double>(counts.tokens) /
                         model.config().vocab_size;
    json["head_top_k_tokens"] = counts.tokens;
    json["head_fallbacks"] = counts.fallbacks;
    json["head_exact_share"] = exact;
    terminal.Print(
        fmt::format("head by top-k: {:.1f} % of its rows in full, {} of {} tokens with more than half\n",
                    100 * exact, counts.fallbacks, counts.tokens));
    const double unread = (1 - std::min(1.0, exact)) * static_cast<double>(transformer.lower_half_bytes());
    return 1 - unread / static_cast<double>(model.weight_bytes());
  }

  static std::vector<int> RandomTokens(const runtime::NativeModel& model, int count, const char* purpose) {
    std::vector<int> tokens(static_cast<std::size_t>(count));
    Random random(1, purpose);
    for (int& token : tokens)
      token = static_cast<int>(random.Below(static_cast<std::uint32_t>(model.config().vocab_size)));
    return tokens;
  }
  void WriteBatch(runtime::NativeModel& model) const {
    std::vector<model::GenerateRequest> requests;
    for (const int token : RandomTokens(model, kBatch, "bench/starts")) requests.push_back({{token}, 1});
    model.Generate(requests, {.max_new_tokens = config_.new_tokens, .log_probs = false});
  }

  /// Weights of the linears: a prompt token is multiplied with each once (attention left out).
  static double PrefillWeights(const model::ModelConfig& config) {
    double weights = 0;
    for (const model::TensorSpec& spec : model::ListTensors(config))
      if (model::IsLinear(spec)) weights += static_cast<double>(spec.shape[0] * spec.shape[1]);
    return weights;
  }

  static void Show(const char* name, const std::string& key, int tokens, const Runs& runs, const char* limit,
                   Terminal& terminal, io::Json& json) {
    const auto [least, most] = std::minmax_element(runs.rates.begin(), runs.rates.end());
    const double rate = Median(runs.rates), share = Median(runs.shares);
    terminal.Print(fmt::format("{}{:<6} {:>9.1f} tokens/s  ({:.1f} to {:.1f}), {:.0f} % {}\n", name, tokens,
                               rate, *least, *most, 100 * share, limit));
    json[key + "_tokens_per_second"] = rate;
    json["tests"].push_back({{"test", name},
                             {"tokens", tokens},
                             {"tokens_per_second", rate},
                             {"runs", runs.rates},
                             {"limits", runs.limits},
                             {"share_of_limit", share}});
  }

  std::string name_, shape_ = "none", embeddings_ = "q8_0", gguf_;
  std::uint64_t seed_ = 1;
  std::vector<int> pinned_cores_;  // of each thread; none without --pin-threads
  double load_seconds_ = 0, first_token_seconds_ = 0;
  BenchConfig config_;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeBenchCommand() { return std::make_unique<BenchCommand>(); }

}  // namespace forge::cli

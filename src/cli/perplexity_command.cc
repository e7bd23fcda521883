// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "cli/command_list.h"
#include "cli/model_flags.h"
#include "io/atomic_file.h"

namespace forge::cli {
namespace {

struct PerplexityConfig {
  std::string file;
  int context = 512;
  int stride = 0;
  int max_tokens = 0;

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit("file", file, AnyValue{}, "The text.");
    visit("context", context, InRange{2, 1e6}, "Tokens of a window.");
    visit("stride", stride, InRange{0, 1e6},
          "Tokens from one window to the next, at most the context; 0: the context (no overlap).");
    visit("max_tokens", max_tokens, InRange{0, 1e9}, "Use only this many tokens of the text; 0: all.");
  }
};

class PerplexityCommand : public Command {
 public:
  std::string Name() const override { return "perplexity"; }
  std::string Summary() const override { return "Measure how well a model predicts a text."; }
  std::string Example() const override {
    return "forge perplexity models/starter/base --file text.txt --context 512";
  }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositional("MODEL", name_, "A model folder or a GGUF file.");
    flags.AddConfig(config_);
    model_.AddTo(flags);
  }

  int Run(const FlagSet&, Terminal& terminal) override {
    if (config_.file.empty())
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "forge perplexity needs a text",
                   .why = "--file is not given",
                   .fix = "give --file TEXT.txt"});
    if (config_.stride > config_.context)
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "cannot use --stride " + std::to_string(config_.stride),
                   .why = "tokens between windows would be left out",
                   .fix = fmt::format("give at most --stride {}", config_.context)});
    const std::string text = io::ReadFile(config_.file);
    const RunnableModel model = model_.LoadToRun(name_);
    if (config_.context > model.model->config().max_position_embeddings)
      throw Error(
          {.what = fmt::format("cannot use --context {} with {}", config_.context, name_),
           .why = fmt::format("the model knows {} positions", model.model->config().max_position_embeddings),
           .fix = fmt::format("give --context {}", model.model->config().max_position_embeddings)});
    std::vector<int> ids = model.tokenizer->Encode(text);
    if (config_.max_tokens > 0 && ids.size() > static_cast<std::size_t>(config_.max_tokens))
      ids.resize(static_cast<std::size_t>(config_.max_tokens));
    if (ids.size() < 2)
      throw Error({.what = "cannot measure " + config_.file,
                   .why = fmt::format("it has {} tokens; each token but the first is predicted", ids.size()),
                   .fix = "give a longer text"});
    Sum(model, ids, terminal);
    const double mean = nll_ / static_cast<double>(count_);
    terminal.Print(fmt::format("nll {:.6f} nats per token, perplexity {:.4f}, over {} tokens\n", mean,
                               std::exp(mean), count_));
    terminal.PrintJson({{"nll", mean},
                        {"nll_sum", nll_},
                        {"perplexity", std::exp(mean)},
                        {"tokens", count_},
                        {"context", config_.context},
                        {"stride", config_.stride == 0 ? config_.context : config_.stride}});
    return 0;
  }

 private:
  /// Each window starts at position 0; a token is scored once, in the first window that has a token before
  /// it. So without overlap the first token of a window is not scored.
  void Sum(const RunnableModel& model, const std::vector<int>& ids, Terminal& terminal) {
    const auto context = static_cast<std::size_t>(config_.context);
    const std::size_t stride = config_.stride == 0 ? context : static_cast<std::size_t>(config_.stride);
    std::size_t scored = 0;  // ids before this one are done with
    for (std::size_t begin = 0; begin + 1 < ids.size() && scored < ids.size(); begin += stride) {
      if (terminal.stop().stop_requested())
        throw Error({.kind = ErrorKind::kInterrupted,
                     .what = "stopped on request",
                     .why = fmt::format("{} of {} tokens were measured", scored, ids.size()),
                     .fix = "run the same command again"});
      const std::size_t end = std::min(begin + context, ids.size());
      const std::size_t first = std::max(scored, begin + 1);
      const auto at = [&](std::size_t i) { return ids.begin() + static_cast<std::ptrdiff_t>(i); };
      const model::ScoreRequest request{{at(begin), at(first)}, {{at(first), at(end)}}};
      const auto scores = model.model->Score({&request, 1});
      for (const float log_prob : scores[0][0]) nll_ -= static_cast<double>(log_prob);
      count_ += end - first;
      scored = end;
      terminal.Metric("perplexity", static_cast<std::int64_t>(count_),
                      std::exp(nll_ / static_cast<double>(count_)));
      terminal.Progress("perplexity", static_cast<std::int64_t>(scored),
                        static_cast<std::int64_t>(ids.size()), "tokens");
    }
  }

  std::string name_;
  PerplexityConfig config_;
  ModelFlags model_;
  double nll_ = 0;
  std::size_t count_ = 0;
};

}  // namespace

std::unique_ptr<Command> MakePerplexityCommand() { return std::make_unique<PerplexityCommand>(); }

}  // namespace forge::cli

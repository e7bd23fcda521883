// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/error.h"
#include "cli/command_list.h"
#include "cli/model_flags.h"
#include "eval/perplexity.h"
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
    flags.AddPositional("MODEL", name_, "A model folder, a GGUF or packed file.");
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
    const eval::TextLikelihood score = Measure(model, ids, terminal);
    terminal.Print(
        fmt::format("nll {:.6f} nats per token, perplexity {:.4f}, over {} tokens\n"
                    "perplexity by word {:.4f} ({} words), by byte {:.6f}, {:.6f} bits per byte ({} bytes)\n",
                    score.nll / static_cast<double>(score.tokens), score.PerToken(), score.tokens,
                    score.PerWord(), score.words, score.PerByte(), score.BitsPerByte(), score.bytes));
    terminal.PrintJson({{"nll", score.nll / static_cast<double>(score.tokens)},
                        {"nll_sum", score.nll},
                        {"perplexity", score.PerToken()},
                        {"tokens", score.tokens},
                        {"word_perplexity", score.PerWord()},
                        {"words", score.words},
                        {"byte_perplexity", score.PerByte()},
                        {"bits_per_byte", score.BitsPerByte()},
                        {"bytes", score.bytes},
                        {"context", config_.context},
                        {"stride", Stride()}});
    return 0;
  }

 private:
  int Stride() const { return config_.stride == 0 ? config_.context : config_.stride; }

  /// Words and bytes are those of the used text, also where the first token of a window is not scored.
  eval::TextLikelihood Measure(const RunnableModel& model, const std::vector<int>& ids,
                               Terminal& terminal) const {
    const eval::ModelSession session{.model = *model.model,
                                     .tokenizer = *model.tokenizer,
                                     .stop_token_ids = {},
                                     .chat = {},
                                     .sink = &terminal,
                                     .stop = &terminal.stop()};
    eval::TextLikelihood score =
        eval::ScoreWindows(session, ids,
                           eval::StridedWindows(ids.size(), static_cast<std::size_t>(config_.context),
                                                static_cast<std::size_t>(Stride())),
                           "perplexity");
    const std::string used = model.tokenizer->Decode(ids);
    score.words = eval::CountWords(used);
    score.bytes = used.size();
    return score;
  }

  std::string name_;
  PerplexityConfig config_;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakePerplexityCommand() { return std::make_unique<PerplexityCommand>(); }

}  // namespace forge::cli

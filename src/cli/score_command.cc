// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iostream>
#include <numeric>

#include "base/error.h"
#include "cli/command_list.h"
#include "cli/model_flags.h"
#include "io/json_lines.h"

namespace forge::cli {
namespace {

constexpr std::size_t kLinesTogether = 256;  // so that results stream, and common beginnings are still shared

struct ScoreConfig {
  std::string file;
  int top = 0;

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit("file", file, AnyValue{}, "The lines; without it they are read from standard input.");
    visit("top", top, InRange{0, 1000}, "Also give the K likeliest tokens at every scored position.");
  }
};

class ScoreCommand : public Command {
 public:
  std::string Name() const override { return "score"; }
  std::string Summary() const override {
    return "Log-probabilities of given texts: JSON lines in, JSON lines out.";
  }
  std::string Example() const override {
    return "echo '{\"prompt\": \"m 324   =\", \"completion\": \"2\"}' | forge score models/starter/math "
           "--jsonl";
  }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositional("MODEL", name_, "A model folder, a GGUF or packed file.");
    flags.AddSwitch("--jsonl", jsonl_,
                    "Lines {\"prompt\", \"completion\"} (the completion is scored) or {\"ids\"} (all but the "
                    "first); the only format.");
    flags.AddConfig(config_);
    model_.AddTo(flags);
  }

  int Run(const FlagSet&, Terminal& terminal) override {
    if (!jsonl_)
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "forge score needs a format",
                   .why = "--jsonl is not given, and there is no other yet",
                   .fix = "give --jsonl, and lines {\"prompt\": \"..\", \"completion\": \"..\"}"});
    const RunnableModel model = model_.LoadToRun(name_);
    constexpr const char* kForm = "{\"prompt\": \"..\", \"completion\": \"..\"} or {\"ids\": [1, 2, ..]}";
    io::JsonLines lines = config_.file.empty() ? io::JsonLines(std::cin, "standard input", kForm)
                                               : io::JsonLines(config_.file, kForm);
    std::vector<model::ScoredSequence> sequences;
    while (lines.Next()) {
      sequences.push_back(Sequence(lines, model));
      if (sequences.size() == kLinesTogether) Flush(model, sequences, terminal);
    }
    Flush(model, sequences, terminal);
    return 0;
  }

 private:
  static model::ScoredSequence Sequence(const io::JsonLines& line, const RunnableModel& model) {
    const bool has_ids = line.Has("ids"), has_texts = line.Has("prompt") && line.Has("completion");
    for (const auto& [key, value] : line.object().items())
      if (key != "ids" && key != "prompt" && key != "completion")
        line.Fail("the field \"" + key + "\" is not known");
    if (has_ids == has_texts) line.Fail("it has neither the field ids, nor prompt and completion");
    model::ScoredSequence sequence{{}, 1};
    if (has_ids) {
      sequence.tokens = line.Integers("ids");
      if (sequence.tokens.empty()) line.Fail("the field \"ids\" is empty");
      return sequence;
    }
    sequence.tokens = model.Encode(line.Text("prompt"));
    if (sequence.tokens.empty()) line.Fail("the prompt has no token that the completion could follow");
    sequence.prefix = sequence.tokens.size();
    const std::vector<int> completion = model.tokenizer->Encode(line.Text("completion"));
    sequence.tokens.insert(sequence.tokens.end(), completion.begin(), completion.end());
    return sequence;
  }

  /// Scores and prints what is held, one line each in the order of the input.
  void Flush(const RunnableModel& model, std::vector<model::ScoredSequence>& sequences,
             Terminal& terminal) const {
    struct Scores {
      std::vector<double> log_probs;
      std::vector<char> greedy;  // by token; chars, because threads write side by side
      std::vector<io::Json> top;
    };
    std::vector<Scores> results;
    for (const auto& sequence : sequences) {
      const std::size_t count = sequence.tokens.size() - sequence.prefix;
      results.push_back({std::vector<double>(count), std::vector<char>(count), std::vector<io::Json>(count)});
    }
    const auto vocabulary = static_cast<std::size_t>(model.model->config().vocab_size);
    model.model->VisitScores(
        sequences, [&](std::size_t s, std::size_t position, const float* logits, double log_prob) {
          const std::size_t i = position - sequences[s].prefix;
          const int token = sequences[s].tokens[position];
          results[s].log_probs[i] = log_prob;
          results[s].greedy[i] = std::max_element(logits, logits + vocabulary) - logits == token;
          if (config_.top > 0)
            results[s].top[i] = Top({logits, vocabulary}, static_cast<double>(logits[token]) - log_prob);
        });
    for (const Scores& scores : results) {
      io::Json line{{"logprobs", scores.log_probs},
                    {"sum", std::accumulate(scores.log_probs.begin(), scores.log_probs.end(), 0.0)},
                    {"greedy", std::all_of(scores.greedy.begin(), scores.greedy.end(),
                                           [](char is) { return is != 0; })}};
      if (config_.top > 0) line["top"] = scores.top;
      std::cout << line.dump() << '\n';
    }
    std::cout.flush();
    if (!std::cout)
      throw Error({.what = "cannot write the scores",
                   .why = "standard output is closed or full",
                   .fix = "give it room"});
    sequences.clear();
    if (terminal.stop().stop_requested())
      throw Error({.kind = ErrorKind::kInterrupted,
                   .what = "stopped on request",
                   .why = "the lines that are printed are complete",
                   .fix = "run the same command with the lines that are left"});
  }

  /// [[id, log-probability], ..] of the likeliest tokens; the lower id first among equals.
  io::Json Top(std::span<const float> logits, double log_sum) const {
    std::vector<int> ids(logits.size());
    std::iota(ids.begin(), ids.end(), 0);
    const auto count = std::min(static_cast<std::size_t>(config_.top), ids.size());
    std::partial_sort(
        ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count), ids.end(), [&](int a, int b) {
          const float x = logits[static_cast<std::size_t>(a)], y = logits[static_cast<std::size_t>(b)];
          return x > y || (x == y && a < b);
        });
    io::Json top = io::Json::array();
    for (std::size_t i = 0; i < count; ++i)
      top.push_back({ids[i], static_cast<double>(logits[static_cast<std::size_t>(ids[i])]) - log_sum});
    return top;
  }

  std::string name_;
  bool jsonl_ = false;
  ScoreConfig config_;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeScoreCommand() { return std::make_unique<ScoreCommand>(); }

}  // namespace forge::cli

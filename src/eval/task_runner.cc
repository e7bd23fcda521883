// SPDX-License-Identifier: Apache-2.0
#include "eval/task_runner.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <numeric>

#include "base/check.h"
#include "eval/answer_extraction.h"
#include "eval/log_likelihood.h"
#include "eval/math_answer.h"
#include "eval/multiple_choice.h"
#include "eval/perplexity.h"
#include "eval/text_generation.h"

namespace forge::eval {
namespace {

constexpr std::size_t kTokensTogether = 8192;  // scored in one call
constexpr std::size_t kTextsTogether = 32;     // written in one call
constexpr std::uint64_t kBootstrapSeed = 1;    // the same data give the same interval

/// The measured items of one metric and filter, while they come in.
struct Column {
  std::string metric, filter = "none";
  std::vector<char> hits = {};  // of shares
  int unparsable = 0;
  bool counts_unparsable = false;
};

double Share(int part, std::size_t of) { return static_cast<double>(part) / static_cast<double>(of); }

MetricResult ShareResult(const Column& column) {
  const int hits = std::accumulate(column.hits.begin(), column.hits.end(), 0);
  const auto n = column.hits.size();
  MetricResult result{.metric = column.metric,
                      .filter = column.filter,
                      .value = Share(hits, n),
                      .interval = WilsonInterval(hits, static_cast<int>(n))};
  if (column.counts_unparsable) result.unparsable = Share(column.unparsable, n);
  return result;
}

/// exp or any other function of sum(nll) / sum(count), with a bootstrap interval over items.
MetricResult RatioResult(const std::string& metric, const std::vector<double>& nll,
                         const std::vector<double>& count, const std::function<double(double)>& of_mean) {
  const auto ratio = [&](std::span<const int> indices) -> std::optional<double> {
    double above = 0, below = 0;
    for (const int i : indices) {
      above += nll[static_cast<std::size_t>(i)];
      below += count[static_cast<std::size_t>(i)];
    }
    return of_mean(above / below);
  };
  std::vector<int> all(nll.size());
  std::iota(all.begin(), all.end(), 0);
  MetricResult result{.metric = metric, .filter = "none", .value = *ratio(all)};
  if (nll.size() > 1) result.interval = Bootstrap(static_cast<int>(nll.size()), kBootstrapSeed, ratio);
  return result;
}

class Runner {
 public:
  Runner(const ModelSession& session, const TaskFile& task, const std::vector<TaskItem>& items,
         const RunOptions& options, TaskResult& result)
      : session_(session), task_(task), items_(items), options_(options), result_(result) {}

  void ScoreChoices() {
    for (const TaskMetric& metric : task_.metrics) columns_.push_back({.metric = metric.name});
    std::vector<TokenPair> pairs;
    std::size_t first = 0, held = 0;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      for (TokenPair& pair : ChoicePairs(session_, items_[i])) {
        held += pair.context.size() / items_[i].choices.size() + pair.continuation.size();
        pairs.push_back(std::move(pair));
      }
      if (held < kTokensTogether && i + 1 < items_.size()) continue;
      const std::vector<PairScore> scores = ScorePairs(session_, pairs, tokens_);
      std::span<const PairScore> left(scores);
      for (; first <= i; ++first) {
        AddChoice(items_[first], left.first(items_[first].choices.size()));
        left = left.subspan(items_[first].choices.size());
      }
      pairs.clear();
      held = 0;
      Advance(first);
    }
    for (const Column& column : columns_) result_.metrics.push_back(ShareResult(column));
  }

  void ScoreTargets() {
    std::vector<double> nll, ones(items_.size(), 1);
    Column greedy{.metric = "acc"};
    std::vector<TokenPair> pairs;
    for (std::size_t i = 0, first = 0, held = 0; i < items_.size(); ++i) {
      pairs.push_back(EncodePair(session_, items_[i].context, items_[i].targets[0]));
      held += pairs.back().context.size() + pairs.back().continuation.size();
      if (held < kTokensTogether && i + 1 < items_.size()) continue;
      for (const PairScore& score : ScorePairs(session_, pairs, tokens_)) {
        nll.push_back(-score.log_likelihood);
        greedy.hits.push_back(score.is_greedy);
        result_.cut_items += score.is_cut;
        Log(items_[first++], {{"log_likelihood", score.log_likelihood}, {"is_greedy", score.is_greedy}});
      }
      pairs.clear();
      held = 0;
      Advance(first);
    }
    for (const TaskMetric& metric : task_.metrics)
      result_.metrics.push_back(metric.name == "acc" ? ShareResult(greedy)
                                                     : RatioResult(metric.name, nll, ones, [](double mean) {
                                                         return std::exp(mean);
                                                       }));
  }

  void ScoreDocuments(const TaskData& data) {
    std::vector<double> nll, words, bytes, tokens;
    const auto most = static_cast<std::size_t>(session_.model.config().max_position_embeddings);
    for (std::size_t i = 0; i < items_.size(); ++i) {
      const std::string& text = items_[i].targets[0];
      std::vector<int> ids{session_.PrefixToken()};
      const std::vector<int> encoded = session_.tokenizer.Encode(text);
      ids.insert(ids.end(), encoded.begin(), encoded.end());
      // One progress line counts documents; the tokens of a long one are quick to come.
      ModelSession quiet = session_;
      quiet.sink = nullptr;
      const TextLikelihood score = ScoreWindows(quiet, ids, RollingWindows(ids.size(), most), task_.name);
      const std::string counted =
          task_.count_in.is_set() ? task_.count_in.Text(data.documents[items_[i].index]) : text;
      nll.push_back(score.nll);
      tokens.push_back(static_cast<double>(score.tokens));
      words.push_back(static_cast<double>(CountWords(counted)));
      bytes.push_back(static_cast<double>(counted.size()));
      tokens_ += ids.size();
      Log(items_[i], {{"log_likelihood", -score.nll},
                      {"tokens", score.tokens},
                      {"words", words.back()},
                      {"bytes", bytes.back()}});
      Advance(i + 1);
    }
    for (const TaskMetric& metric : task_.metrics) {
      const auto& count = metric.name == "word_perplexity"    ? words
                          : metric.name == "token_perplexity" ? tokens
                                                              : bytes;
      const bool is_bits = metric.name == "bits_per_byte";
      result_.metrics.push_back(RatioResult(metric.name, nll, count, [is_bits](double mean) {
        return is_bits ? mean / std::log(2.0) : std::exp(mean);
      }));
    }
  }

  void ScoreTexts(const TaskData& data) {
    for (const TaskMetric& metric : task_.metrics)
      for (const AnswerFilter& filter : task_.filters)
        columns_.push_back(
            {.metric = metric.name, .filter = filter.name, .counts_unparsable = !filter.steps.empty()});
    for (std::size_t first = 0; first < items_.size();) {
      const std::size_t end = std::min(first + kTextsTogether, items_.size());
      std::vector<std::string> contexts;
      for (std::size_t i = first; i < end; ++i) contexts.push_back(items_[i].context);
      const std::vector<WrittenText> texts =
          WriteTexts(session_, contexts, task_.generation, options_.seed + first, tokens_);
      for (std::size_t i = first; i < end; ++i) {
        session_.CheckStop(task_.name, i, items_.size());  // programs take their time
        AddText(items_[i], data.documents[items_[i].index], texts[i - first]);
      }
      first = end;
      Advance(first);
    }
    for (const Column& column : columns_) result_.metrics.push_back(ShareResult(column));
  }

  std::size_t tokens() const { return tokens_; }

 private:
  void Advance(std::size_t done) {
    session_.Progress(task_.name, done, items_.size(), "items");
    if (done < items_.size()) session_.CheckStop(task_.name, done, items_.size());
  }

  void Log(const TaskItem& item, io::Json fields) {
    fields["index"] = item.index;
    fields["context"] = item.context;
    fields["targets"] = item.targets;
    result_.items.push_back(std::move(fields));
  }

  void AddChoice(const TaskItem& item, std::span<const PairScore> scores) {
    const ChoicePrediction prediction = Predict(item.choices, scores);
    io::Json log{{"choices", item.choices}, {"gold", item.gold}, {"log_likelihoods", io::Json::array()}};
    for (const PairScore& score : scores) log["log_likelihoods"].push_back(score.log_likelihood);
    for (Column& column : columns_) {
      const int choice = column.metric == "acc"        ? prediction.best
                         : column.metric == "acc_norm" ? prediction.best_norm
                                                       : prediction.best_bytes;
      column.hits.push_back(choice == item.gold);
      log[column.metric] = choice == item.gold;
      log["prediction_" + column.metric] = choice;
    }
    result_.cut_items +=
        std::any_of(scores.begin(), scores.end(), [](const PairScore& score) { return score.is_cut; });
    Log(item, std::move(log));
  }

  bool IsRight(const TaskMetric& metric, const std::string& answer, const TaskItem& item) const {
    return std::any_of(item.targets.begin(), item.targets.end(), [&](const std::string& target) {
      if (metric.name == "number_match") return IsSameNumber(answer, target);
      if (metric.name == "math_match") return IsSameMath(answer, LastBoxed(target).value_or(target));
      return IsExactMatch(metric, answer, target);
    });
  }

  bool Passes(const io::OrderedJson& document, const std::string& completion, io::Json& log) const {
    FORGE_CHECK(options_.sandbox != nullptr);
    io::OrderedJson fields = document;
    fields["completion"] = completion;
    const SandboxResult run = options_.sandbox->Run(task_.program.Text(fields), options_.limits);
    log["program"] = {{"status", run.status},
                      {"is_timeout", run.is_timeout},
                      {"seconds", run.seconds},
                      {"output", run.output.substr(0, 2000)}};
    return run.has_passed;
  }

  void AddText(const TaskItem& item, const io::OrderedJson& document, const WrittenText& written) {
    io::Json log{{"output", written.text},
                 {"tokens", written.tokens},
                 {"is_ended", written.is_ended},
                 {"answers", io::Json::object()}};
    std::size_t column = 0;
    for (const TaskMetric& metric : task_.metrics)
      for (const AnswerFilter& filter : task_.filters) {
        const ExtractedAnswer answer = ExtractAnswer(filter, written.text);
        const bool is_right = metric.name == "pass@1"
                                  ? Passes(document, answer.text, log)
                                  : answer.is_parsed && IsRight(metric, answer.text, item);
        columns_[column].hits.push_back(is_right);
        columns_[column++].unparsable += !answer.is_parsed;
        log["answers"][filter.name] = answer.text;
        log[metric.name + "," + filter.name] = is_right;
      }
    result_.cut_items += written.is_cut;
    Log(item, std::move(log));
  }

  const ModelSession& session_;
  const TaskFile& task_;
  const std::vector<TaskItem>& items_;
  const RunOptions& options_;
  TaskResult& result_;
  std::vector<Column> columns_;
  std::size_t tokens_ = 0;
};

}  // namespace

TaskResult RunTask(const ModelSession& session, const TaskFile& task, const TaskData& data,
                   const std::vector<TaskItem>& items, const RunOptions& options) {
  FORGE_CHECK(!items.empty());
  TaskResult result{.task = task.name,
                    .split = data.split,
                    .n = static_cast<int>(items.size()),
                    .metrics = {},
                    .data_path = data.path.string(),
                    .data_sha256 = data.sha256,
                    .prompt_sha256 = PromptHash(items),
                    .items = {}};
  const auto start = std::chrono::steady_clock::now();
  Runner runner(session, task, items, options, result);
  switch (task.output_type) {
    case OutputType::kMultipleChoice:
      runner.ScoreChoices();
      break;
    case OutputType::kLogLikelihood:
      runner.ScoreTargets();
      break;
    case OutputType::kLogLikelihoodRolling:
      runner.ScoreDocuments(data);
      break;
    case OutputType::kGenerateUntil:
      runner.ScoreTexts(data);
      break;
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.tokens_per_second = static_cast<double>(runner.tokens()) / std::max(result.seconds, 1e-9);
  return result;
}

}  // namespace forge::eval

// SPDX-License-Identifier: Apache-2.0
#include "pipeline/evolve_candidates.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "base/error.h"
#include "eval/evaluator.h"
#include "evolve/generation_search.h"
#include "io/sha256.h"

namespace forge::pipeline {
namespace {

constexpr const char* kEarlier = "from_earlier_run";  // in a unit

Scores ScoresOf(const io::Json& result, const std::string& key) {
  try {
    return result.at("scores").get<Scores>();
  } catch (const io::Json::exception&) {
    throw Error({.what = "cannot use the kept scores of " + key,
                 .why = "the row of the store is damaged",
                 .fix = "delete the row from the table units of forge.db, or start the run anew"});
  }
}

std::int64_t TokensOf(const io::Json& result) {
  return result.value("read", std::int64_t{0}) + result.value("written", std::int64_t{0});
}

}  // namespace

double WeightedMean(const std::vector<eval::DomainItems>& domains, const Scores& scores) {
  double sum = 0, weights = 0;
  for (std::size_t d = 0; d < domains.size(); ++d) {
    sum += domains[d].weight * eval::Mean(scores[d]);
    weights += domains[d].weight;
  }
  return sum / weights;
}

std::string MergeCandidate::id() const {
  return evolve::IndividualId(static_cast<int>(number / 100), static_cast<int>(number % 100));
}

EvolveCandidates::EvolveCandidates(const EvolveEvaluator& evaluator, const RunContext& context,
                                   std::unique_ptr<jobs::Executor> executor)
    : evaluator_(evaluator),
      context_(context),
      sink_(*context.store, context.run, kEvolveStage, context.terminal),
      display_(domains(), sink_),
      executor_(std::move(executor)) {
  if (executor_ == nullptr)
    executor_ = std::make_unique<jobs::LocalExecutor>([this](const jobs::Job& job) {
      context_.stop->ThrowIfRequested(("evaluation " + job.key).c_str());
      return evaluator_.Evaluate(Evaluation::FromJson(job.what));
    });
}

void EvolveCandidates::Submit(const Evaluation& evaluation, std::uint64_t tag) {
  const std::string key = evaluation.Key();
  const auto waiting = waiting_.find(key);
  if (waiting != waiting_.end()) {
    AddRepeated(evaluation.measure);
    waiting->second.tags.push_back(tag);
    return;
  }
  if (const auto kept = FindDone(key)) {
    if (counted_.insert(key).second)
      AddCost(evaluation.measure, *kept);
    else
      AddRepeated(evaluation.measure);
    ready_.push_back({tag, ScoresOf(*kept, key), TokensOf(*kept)});
    return;
  }
  waiting_.emplace(key, Waiting{evaluation.measure, {tag}});
  executor_->Submit({key, evaluation.ToJson()});
}

std::string EvolveCandidates::KeptKey(const std::string& key) const {
  const jobs::Identity& identity = evaluator_.identity();
  const std::string all = identity.version + "\n" + identity.inputs + "\n" + key;
  return io::Sha256(std::as_bytes(std::span(all)));
}

std::optional<io::Json> EvolveCandidates::FindDone(const std::string& key) {
  std::optional<io::Json> done = context_.store->GetUnit(context_.run, kEvolveStage, key);
  if (done || !uses_kept_) return done;
  done = context_.store->FindKeptEvaluation(KeptKey(key));
  if (!done) return done;
  (*done)[kEarlier] = true;
  context_.store->PutUnit(context_.run, kEvolveStage, key, *done);
  return done;
}

EvolveCandidates::Finished EvolveCandidates::Next() {
  if (ready_.empty()) {
    const jobs::JobResult result = executor_->Next();
    const auto found = waiting_.find(result.key);
    const Waiting waiting = std::move(found->second);
    waiting_.erase(found);
    if (!context_.store->GetUnit(context_.run, kEvolveStage, result.key))
      context_.store->PutUnit(context_.run, kEvolveStage, result.key, result.value);
    if (uses_kept_) context_.store->KeepEvaluation(KeptKey(result.key), result.value);
    counted_.insert(result.key);
    AddCost(waiting.measure, result.value);
    for (const std::uint64_t tag : waiting.tags)
      ready_.push_back({tag, ScoresOf(result.value, result.key), TokensOf(result.value)});
  }
  Finished finished = std::move(ready_.front());
  ready_.pop_front();
  return finished;
}

std::vector<Scores> EvolveCandidates::Score(const std::vector<Evaluation>& evaluations,
                                            const std::function<void(int)>& on_done) {
  std::vector<Scores> scores(evaluations.size());
  for (std::size_t i = 0; i < evaluations.size(); ++i) Submit(evaluations[i], i);
  for (std::size_t done = 1; done <= evaluations.size(); ++done) {
    Finished finished = Next();
    scores[finished.tag] = std::move(finished.scores);
    if (on_done) on_done(static_cast<int>(done));
  }
  return scores;
}

void EvolveCandidates::AddCost(const Measure& measure, const io::Json& result) {
  const std::int64_t tokens = TokensOf(result);
  if (!result.contains(kEarlier)) tokens_ += tokens;
  if (measure.split != eval::Split::kSearch) return;
  if (result.contains(kEarlier)) {
    ++from_earlier_;
    return;
  }
  Cost& cost = measure.likelihood ? likelihood_ : full_;
  cost.seconds += result.value("seconds", 0.0);
  cost.tokens += tokens;
  std::size_t scored = 0, all = 0;
  for (const eval::DomainItems& domain : domains()) {
    all += domain.search.size();
    scored += measure.End(domain.search.size()) - measure.Begin(domain.search.size());
  }
  cost.share += static_cast<double>(scored) / static_cast<double>(all);
  if (measure.first == 0) ++cost.models;
}

void EvolveCandidates::Record(const MergeCandidate& candidate, const std::string& label,
                              const Scores& scores) {
  track::Store::Transaction unit(*context_.store);
  io::Json by_domain{{"fitness", WeightedMean(domains(), scores)}};
  for (std::size_t d = 0; d < domains().size(); ++d) {
    const std::string& name = domains()[d].name;
    by_domain[name] = eval::Mean(scores[d]);
    context_.store->RecordEvaluation(context_.run, {.candidate = candidate.number,
                                                    .split = "search",
                                                    .domain = name,
                                                    .score = eval::Mean(scores[d]),
                                                    .items = {scores[d].begin(), scores[d].end()}});
  }
  context_.store->RecordCandidate(context_.run, {.id = candidate.number,
                                                 .generation = candidate.generation,
                                                 .kind = candidate.kind,
                                                 .label = label,
                                                 .genome = candidate.genome,
                                                 .parents = candidate.parents,
                                                 .scores = by_domain});
  unit.Commit();
  if (track::IsReference(candidate.kind)) return display_.OnReference(label, scores);
  display_.OnScored(candidate, scores);
  display_.OnCost(std::max(full_.models, likelihood_.models) + repeated_, full_.share + likelihood_.share);
}

}  // namespace forge::pipeline

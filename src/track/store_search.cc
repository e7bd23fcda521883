// SPDX-License-Identifier: Apache-2.0
#include "track/store_core.h"

namespace forge::track {
namespace {

Candidate ReadCandidate(const Statement& row) {
  return {.id = row.Int(0),
          .generation = row.Int(1),
          .kind = row.Text(2),
          .label = row.Text(3),
          .genome = ParseColumn(row.Text(4)),
          .parents = ParseColumn(row.Text(5)).get<std::vector<std::int64_t>>(),
          .scores = ParseColumn(row.Text(6)),
          .state = ParseState(row.Text(7))};
}

constexpr char kCandidateColumns[] =
    "SELECT id, generation, kind, label, genome, parents, scores, state FROM candidates WHERE run = ?";
constexpr char kEvaluationColumns[] =
    "SELECT candidate, split, domain, score, items FROM evaluations WHERE run = ? AND candidate = ?";

Evaluation ReadEvaluation(const Statement& row) {
  return {.candidate = row.Int(0),
          .split = row.Text(1),
          .domain = row.Text(2),
          .score = row.Real(3),
          .items = UnpackItems(row.Blob(4))};
}

}  // namespace

void Store::RecordCandidate(const std::string& run, const Candidate& candidate) {
  Transaction unit(*this);
  core_->database
      .Prepare(
          "INSERT OR REPLACE INTO candidates(run, id, generation, kind, label, genome, parents, scores, "
          "state) "
          "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .Bind(Key(run))
      .Bind(candidate.id)
      .Bind(candidate.generation)
      .Bind(candidate.kind)
      .Bind(candidate.label)
      .Bind(DumpJson(candidate.genome))
      .Bind(DumpJson(Json(candidate.parents)))
      .Bind(DumpJson(candidate.scores))
      .Bind(Name(candidate.state))
      .Run();
  Json shown = {
      {"id", candidate.id},       {"generation", candidate.generation}, {"kind", candidate.kind},
      {"label", candidate.label}, {"state", Name(candidate.state)},     {"parents", candidate.parents}};
  shown["fitness"] = candidate.Fitness() ? Json(*candidate.Fitness()) : Json();
  AddEvent(run, "candidate", "evolve", shown);
  unit.Commit();
}

std::optional<Candidate> Store::FindCandidate(const std::string& run, std::int64_t id) {
  const std::lock_guard lock(core_->mutex);
  const std::int64_t key = Key(run);
  Statement& row = core_->database.Prepare(std::string(kCandidateColumns) + " AND id = ?");
  if (!row.Bind(key).Bind(id).Step()) return std::nullopt;
  std::optional<Candidate> found = ReadCandidate(row);
  row.Reset();
  return found;
}

std::vector<Candidate> Store::Candidates(const std::string& run) {
  const std::lock_guard lock(core_->mutex);
  const std::int64_t key = Key(run);
  Statement& row = core_->database.Prepare(std::string(kCandidateColumns) + " ORDER BY id");
  row.Bind(key);
  std::vector<Candidate> candidates;
  while (row.Step()) candidates.push_back(ReadCandidate(row));
  return candidates;
}

SearchSummary Store::SummarizeSearch(const std::string& run) {
  const std::lock_guard lock(core_->mutex);
  const std::int64_t key = Key(run);
  Statement& row = core_->database.Prepare(
      "SELECT count(*), max(generation), max(fitness), max(fitness) FILTER (WHERE kind = 'parent') FROM ("
      "  SELECT generation, kind, CASE WHEN json_type(scores, '$.fitness') IN ('real', 'integer')"
      "    THEN json_extract(scores, '$.fitness') END AS fitness FROM candidates WHERE run = ?)");
  row.Bind(key).Step();
  SearchSummary summary{.candidates = row.Int(0), .generation = row.Int(1)};
  if (!row.IsNull(2)) summary.best_fitness = row.Real(2);
  if (!row.IsNull(3)) summary.best_parent = row.Real(3);
  row.Reset();
  Statement& domain = core_->database.Prepare(
      "SELECT s.key, max(s.value) FILTER (WHERE kind NOT IN ('parent', 'base', 'uniform')), "
      "max(s.value) FILTER (WHERE kind = 'parent') FROM candidates, json_each(candidates.scores) AS s "
      "WHERE run = ? AND s.type IN ('real', 'integer') AND s.key <> 'fitness' GROUP BY s.key ORDER BY s.key");
  domain.Bind(key);
  while (domain.Step()) {
    SearchSummary::Domain& found = summary.domains.emplace_back();
    found.name = domain.Text(0);
    if (!domain.IsNull(1)) found.best = domain.Real(1);
    if (!domain.IsNull(2)) found.best_parent = domain.Real(2);
  }
  return summary;
}

void Store::RecordEvaluation(const std::string& run, const Evaluation& evaluation) {
  Transaction unit(*this);
  core_->database
      .Prepare(
          "INSERT OR REPLACE INTO evaluations(run, candidate, split, domain, n, score, items) "
          "VALUES(?, ?, ?, ?, ?, ?, ?)")
      .Bind(Key(run))
      .Bind(evaluation.candidate)
      .Bind(evaluation.split)
      .Bind(evaluation.domain)
      .Bind(static_cast<std::int64_t>(evaluation.items.size()))
      .Bind(evaluation.score)
      .Bind(PackItems(evaluation.items))
      .Run();
  unit.Commit();
}

std::optional<Evaluation> Store::FindEvaluation(const std::string& run, std::int64_t candidate,
                                                std::string_view split, std::string_view domain) {
  const std::lock_guard lock(core_->mutex);
  const std::int64_t key = Key(run);
  Statement& row = core_->database.Prepare(std::string(kEvaluationColumns) + " AND split = ? AND domain = ?");
  if (!row.Bind(key).Bind(candidate).Bind(split).Bind(domain).Step()) return std::nullopt;
  std::optional<Evaluation> found = ReadEvaluation(row);
  row.Reset();
  return found;
}

std::vector<Evaluation> Store::Evaluations(const std::string& run, std::int64_t candidate) {
  const std::lock_guard lock(core_->mutex);
  const std::int64_t key = Key(run);
  Statement& row = core_->database.Prepare(std::string(kEvaluationColumns) + " ORDER BY split, domain");
  row.Bind(key).Bind(candidate);
  std::vector<Evaluation> evaluations;
  while (row.Step()) evaluations.push_back(ReadEvaluation(row));
  return evaluations;
}

}  // namespace forge::track

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "track/store.h"

namespace forge::track {

/// What a report is made of; GatherReport reads it from the store.
///
/// The results of the stages "evolve", "reason" and "compress" (EndStage) carry these keys. Scores and
/// retention are shares (0.93), points are percentage points, every *_ci is [low, high] of a 95 % interval.
/// Each key may be missing; then the report says "-". More keys may be present and are passed on to
/// report.json.
///   evolve:   champion_score, best_parent_score, uniform_score, gain_relative, gain_ci, p_value, n,
///             champion (id of the candidate), per_domain {domain: {champion, best_parent, uniform, n}},
///             pareto_front (pareto_view.h)
///   reason:   verdict ("baked" | "no_gain"), thought_gain_points, placebo_gain_points, p_value, retention,
///             retention_ci, n, arms [{name, label, accuracy, ci, n}]
///   compress: input_bytes, output_bytes, ratio, bits_per_weight, retention, retention_ci,
///             per_domain {domain: {before, after, retention, retention_above_chance, before_ci, after_ci,
///             p_value, n}}, files [{name, bytes, retention, classes {class: bytes}}]  the input, ours, Q8_0,
///             Q4_0 of it
/// The result of the run (FinishRun): final_model, versions {forge, ...}, sample (a text that the final model
/// wrote).
struct ReportInput {
  Run run = {};
  std::vector<Stage> stages = {};
  std::vector<Candidate> candidates = {};
  std::vector<Artifact> artifacts = {};
};
ReportInput GatherReport(Store& store, const std::string& run);

/// report.json, schema 1:
///   {schema, run, command, seed, state, final_model, versions, seconds {stage: s, "total": s},
///    evolve {state, ...}, reason {state, ...}, compress {state, ...}, artifacts [{name, path, bytes,
///    sha256}]}
/// `state` of a stage is "done", "skipped", "failed", "interrupted", "running" or "not_run". All keys listed
/// above are there; one that was not measured is null, never 0. `seconds` differs from run to run, all else
/// is reproducible.
Json BuildReportJson(const ReportInput& input);
std::string BuildReportMarkdown(const ReportInput& input);
/// One page that loads nothing: style and plots are inside; light or dark as the reader's system is.
std::string BuildReportHtml(const ReportInput& input);

/// Writes report.json, report.md and report.html into `folder`, each atomically.
void WriteReport(const std::filesystem::path& folder, const ReportInput& input);

}  // namespace forge::track

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "track/store.h"

namespace forge::dashboard {

using track::Json;

/// Position in the store: ids of the last event and of the last metric point seen; "12.3400" as text.
struct Cursor {
  std::int64_t event = 0, metric = 0;
};
std::string ToText(const Cursor& cursor);
/// {0, 0} for anything that is not "<digits>.<digits>": the reader then gets everything again.
Cursor ParseCursor(const std::string& text);
Cursor LastCursor(track::Store& store);

/// GET /api/runs: track::BuildStatus, with {now} added.
Json RunsAnswer(const std::filesystem::path& folder, const track::Clock& clock);

/// GET /api/run/ID:
///   {now, cursor, run (track::RunStatus), config, results {stage: result}, candidates [as CandidateJson],
///    series [{stage, name, points [[step, value]]}], log [{id, time, stage, line}], artifacts [...]}
/// At most 400 points per series and the last 300 log lines. `cursor` was taken first, so that a stream from
/// there misses nothing (what comes twice carries its id). Throws Error(kInput) for an unknown run.
Json RunAnswer(track::Store& store, const std::string& run);

Json CandidateJson(const track::Candidate& candidate);
Json LogJson(const track::Event& event);

}  // namespace forge::dashboard

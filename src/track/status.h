// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "track/store.h"

namespace forge::track {

/// The answer of `forge status`, at most 20 ms: runs (newest first, at most 20), their stages with progress,
/// best numbers and time left, and the disk.
///   {output_dir, runs [{id, state, command, seed, created, seconds, message, final_model, resume,
///                       stages [{name, state, done, total, unit, activity, rate, seconds, seconds_left, best
///                       {}}]}],
///    disk {used_bytes, used_is_complete, free_bytes}}
/// `best` holds the scalar results of a stage that is done, and for a running "evolve" {best_fitness,
/// generation, best_parent}. A missing number is null. used_is_complete is false when the folder was too big
/// to count in time. A folder without a store gives no runs, not an error. `resume` is the command that goes
/// on with a stopped run.
Json BuildStatus(const std::filesystem::path& output_dir, const Clock& clock = SystemClock());
/// The same as lines for a terminal, without colours, with a newline at the end.
std::string StatusText(const Json& status);

/// One run as in BuildStatus, for the dashboard.
Json RunStatus(Store& store, const Run& run);

}  // namespace forge::track

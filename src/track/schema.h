// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "track/database.h"

namespace forge::track {

/// Version of the tables, kept in SQLite's user_version. A newer store is refused. An older one is upgraded
/// in one transaction when it is opened for writing; readers take it as it is, without what it lacks.
///   1  runs, stages, metrics, candidates, evaluations, artifacts, units, events
///   2  jobs
///   3  kept evaluations
///   4  tensor statistics
inline constexpr int kSchemaVersion = 4;
inline constexpr int kFirstVersionWithJobs = 2, kFirstVersionWithKeptEvaluations = 3,
                     kFirstVersionWithTensorStatistics = 4;

/// The version of this store; 0 for one without tables.
int SchemaVersion(Database& database);

/// Sets the pragmas, checks the version and creates the tables of a new store. False for a reader that finds
/// no tables: their writer is about to create them, or was killed just before.
[[nodiscard]] bool PrepareSchema(Database& database, Database::Mode mode);

}  // namespace forge::track

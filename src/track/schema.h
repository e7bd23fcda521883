// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "track/database.h"

namespace forge::track {

/// Version of the tables, kept in SQLite's user_version. A newer store is refused, an older one is upgraded
/// in one transaction when it is opened for writing and refused by readers until then.
inline constexpr int kSchemaVersion = 1;

/// Sets the pragmas, checks the version and creates the tables of a new store. False for a reader that finds
/// no tables: their writer is about to create them, or was killed just before.
[[nodiscard]] bool PrepareSchema(Database& database, Database::Mode mode);

}  // namespace forge::track

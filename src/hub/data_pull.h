// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/metric_sink.h"
#include "base/stop_token.h"
#include "hub/data_sets.h"
#include "hub/hub_settings.h"

namespace forge::hub {

struct PulledSplit {
  std::string name, sha256;  // of SPLIT.jsonl
  std::uint64_t rows = 0, bytes = 0;
};

struct DataPullResult {
  std::filesystem::path folder;
  std::string commit;
  std::vector<PulledSplit> splits;
  bool was_there = false;
};

/// Fetches a data set into the cache and writes <data_dir>/<name>/<split>.jsonl, one JSON object a line with
/// the columns of the source (a line of a .txt becomes {"text": ...}), and receipt.json:
///   data_set, repository, revision, commit, files [{name, bytes, etag}], splits {name: {file, rows, bytes,
///   sha256}}
/// The folder appears when it is complete. One whose receipt has the same commit and whose files have the
/// noted lengths is left as it is; an older one of ours is replaced; a folder without a receipt is not
/// touched.
///
/// Of the repository, the main branch is tried, then the hub's conversion to Parquet. Throws Error as Pull
/// and ReadParquetRows do, and kInput for lines that are no JSON objects and repositories without the splits.
DataPullResult PullDataSet(const HubSettings& settings, const DataSet& data_set,
                           const std::filesystem::path& data_dir, MetricSink& sink, const StopToken& stop);

}  // namespace forge::hub

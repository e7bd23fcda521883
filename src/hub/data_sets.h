// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

namespace forge::hub {

/// A data set of the hub that `forge data pull` knows by a short name.
struct DataSet {
  std::string name;                  // "gsm8k"; also the name of its folder
  std::string repository;            // "openai/gsm8k"
  std::vector<std::string> configs;  // the hub's word for the parts of a data set; several are put together
  std::vector<std::string> splits;   // each becomes one file
  std::string about;                 // one line
};

/// In the order of `forge data list`.
const std::vector<DataSet>& KnownDataSets();
/// Throws Error(kUsage) with the nearest name.
const DataSet& FindDataSet(const std::string& name);

/// The hub's own conversion of a data set to Parquet: a branch that nearly every one has, also those whose
/// main branch is a Python script. Its files are CONFIG/SPLIT/0000.parquet and so on.
inline constexpr char kConvertedRevision[] = "refs/convert/parquet";

/// The files of each split, in order; empty if a config lacks one. They are looked for where repositories
/// have them:
///   CONFIG/SPLIT-*.ext, CONFIG/SPLIT.ext, CONFIG/SPLIT/*.ext, and for the config "default" also SPLIT-*.ext
///   and SPLIT.ext at the top or in data/; CONFIG/partial-SPLIT/*, of which the hub converted the first 5 GB
///   only, where there is nothing else. Of the endings, .jsonl comes before .parquet before .txt.
std::map<std::string, std::vector<std::string>> ChooseDataFiles(const DataSet& data_set,
                                                                const std::vector<std::string>& files);

}  // namespace forge::hub

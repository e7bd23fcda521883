// SPDX-License-Identifier: Apache-2.0
#include "merge/merge_order.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "merge/model_name.h"

namespace forge::merge {
namespace {

void CheckNames(const std::vector<MergeConfig>& configs, const std::string& source) {
  ConfigProblems problems;
  std::set<std::string> names;
  if (configs.empty()) problems.Add("", "it is empty");
  const auto has_none = [](const MergeConfig& config) { return config.name.empty(); };
  if (const auto unnamed = std::count_if(configs.begin(), configs.end(), has_none); unnamed > 1)
    problems.Add("name", fmt::format("{} of {} documents have none; only the last merge needs none", unnamed,
                                     configs.size()));
  for (const MergeConfig& config : configs)
    if (!config.name.empty() && !names.insert(config.name).second)
      problems.Add("name", fmt::format("two documents are called \"{}\"", config.name));
  problems.ThrowIfAny(source);
}

}  // namespace

std::vector<std::string> MergesUsedBy(const MergeConfig& config, const std::vector<MergeConfig>& all) {
  std::vector<std::string> used = ModelsOf(config);
  if (config.tokenizer && !config.tokenizer->model.empty()) used.push_back(config.tokenizer->model);
  std::vector<std::string> names;
  for (const MergeConfig& other : all)
    if (!other.name.empty() && std::any_of(used.begin(), used.end(), [&](const std::string& model) {
          return WithoutAdapter(model) == other.name;
        }))
      names.push_back(other.name);
  return names;
}

std::vector<MergeConfig> OrderMerges(std::vector<MergeConfig> configs, const std::string& source) {
  CheckNames(configs, source);
  std::stable_partition(configs.begin(), configs.end(),
                        [](const MergeConfig& config) { return !config.name.empty(); });
  const std::vector<MergeConfig> all = configs;
  std::vector<MergeConfig> ordered;
  std::set<std::string> done;
  while (!configs.empty()) {
    const auto ready = std::find_if(configs.begin(), configs.end(), [&](const MergeConfig& config) {
      const std::vector<std::string> used = MergesUsedBy(config, all);
      return std::all_of(used.begin(), used.end(),
                         [&](const std::string& name) { return done.contains(name); });
    });
    if (ready == configs.end()) {
      ConfigProblems problems;
      for (const MergeConfig& config : configs)
        problems.Add(config.name.empty() ? "the merge without a name" : config.name,
                     fmt::format("needs {}", fmt::join(MergesUsedBy(config, all), " and ")));
      problems.Add("", "so none of these can come first");
      problems.ThrowIfAny(source);
    }
    done.insert(ready->name);
    ordered.push_back(std::move(*ready));
    configs.erase(ready);
  }
  return ordered;
}

}  // namespace forge::merge

// SPDX-License-Identifier: Apache-2.0
#include "hub/data_sets.h"

#include <algorithm>

#include "base/error.h"
#include "base/nearest_name.h"

namespace forge::hub {
namespace {

/// The files of one config and split with this ending.
std::vector<std::string> FilesOf(const std::vector<std::string>& files, const std::string& config,
                                 const std::string& split, const std::string& ending) {
  std::vector<std::string> whole, partial;
  for (const std::string& name : files) {
    if (!name.ends_with(ending)) continue;
    const std::size_t slash = name.rfind('/');
    const std::string folder = slash == std::string::npos ? "" : name.substr(0, slash);
    const std::string base = name.substr(slash == std::string::npos ? 0 : slash + 1);
    const bool is_named =
        base == split + ending || base.starts_with(split + "-") || base.starts_with(split + ".");
    const bool is_beside = folder == config || (config == "default" && (folder.empty() || folder == "data"));
    if ((is_beside && is_named) || folder == config + "/" + split) whole.push_back(name);
    if (folder == config + "/partial-" + split) partial.push_back(name);
  }
  std::vector<std::string>& chosen = whole.empty() ? partial : whole;
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

}  // namespace

const std::vector<DataSet>& KnownDataSets() {
  static const std::vector<DataSet> sets{
      {"gsm8k",
       "openai/gsm8k",
       {"main"},
       {"train", "test"},
       "school mathematics in words, with worked solutions"},
      {"math",
       "EleutherAI/hendrycks_math",
       {"algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory",
        "prealgebra", "precalculus"},
       {"train", "test"},
       "competition mathematics (MATH), all seven subjects"},
      {"mathqa",
       "allenai/math_qa",
       {"default"},
       {"train", "validation", "test"},
       "mathematics with five choices"},
      {"svamp", "ChilleD/SVAMP", {"default"}, {"train", "test"}, "sums in words, varied"},
      {"mawps", "MU-NLPC/Calc-mawps", {"default"}, {"train", "validation", "test"}, "sums in words (MAWPS)"},
      {"arc_easy",
       "allenai/ai2_arc",
       {"ARC-Easy"},
       {"train", "validation", "test"},
       "school science, easy part"},
      {"arc_challenge",
       "allenai/ai2_arc",
       {"ARC-Challenge"},
       {"train", "validation", "test"},
       "school science, hard part"},
      {"hellaswag", "Rowan/hellaswag", {"default"}, {"train", "validation"}, "which sentence comes next"},
      {"piqa", "ybisk/piqa", {"plain_text"}, {"train", "validation"}, "everyday physics, two choices"},
      {"boolq", "google/boolq", {"default"}, {"train", "validation"}, "yes or no about a passage"},
      {"openbookqa",
       "allenai/openbookqa",
       {"main"},
       {"train", "validation", "test"},
       "school science with a fact"},
      {"commonsense_qa",
       "tau/commonsense_qa",
       {"default"},
       {"train", "validation"},
       "everyday knowledge, five choices"},
      {"lambada", "EleutherAI/lambada_openai", {"default"}, {"test"}, "the last word of a passage"},
      {"wikitext",
       "Salesforce/wikitext",
       {"wikitext-2-raw-v1"},
       {"train", "validation", "test"},
       "Wikipedia, two million words, for perplexity"},
      {"wikitext103",
       "Salesforce/wikitext",
       {"wikitext-103-raw-v1"},
       {"train", "validation", "test"},
       "Wikipedia, a hundred million words"},
      {"openwebtext", "Skylion007/openwebtext", {"plain_text"}, {"train"}, "web pages, about 40 GB of text"},
      {"humaneval",
       "openai/openai_humaneval",
       {"openai_humaneval"},
       {"test"},
       "Python functions to complete, with tests"},
      {"mbpp",
       "google-research-datasets/mbpp",
       {"full"},
       {"train", "validation", "test", "prompt"},
       "small Python tasks, with tests"},
  };
  return sets;
}

const DataSet& FindDataSet(const std::string& name) {
  std::vector<std::string> names;
  for (const DataSet& data_set : KnownDataSets()) {
    if (data_set.name == name) return data_set;
    names.push_back(data_set.name);
  }
  const auto nearest = NearestName(name, names);
  throw Error({.kind = ErrorKind::kUsage,
               .what = "unknown data set " + name,
               .why = "forge knows the ones that forge data list shows",
               .fix = nearest ? "did you mean " + *nearest + "?" : "forge data list"});
}

std::map<std::string, std::vector<std::string>> ChooseDataFiles(const DataSet& data_set,
                                                                const std::vector<std::string>& files) {
  std::map<std::string, std::vector<std::string>> chosen;
  for (const std::string& split : data_set.splits) {
    for (const std::string& config : data_set.configs) {
      std::vector<std::string> found;
      for (const char* ending : {".jsonl", ".parquet", ".txt"})
        if (found.empty()) found = FilesOf(files, config, split, ending);
      if (found.empty()) return {};
      std::vector<std::string>& all = chosen[split];
      all.insert(all.end(), found.begin(), found.end());
    }
  }
  return chosen;
}

}  // namespace forge::hub

// SPDX-License-Identifier: Apache-2.0
#include "pipeline/tasks.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "base/error.h"
#include "base/philox.h"
#include "eval/starter_items.h"
#include "io/json_lines.h"
#include "pipeline/corpus_items.h"
#include "pipeline/real_tasks.h"
#include "pipeline/text_items.h"

namespace forge::pipeline {
namespace {

constexpr std::string_view kFolderPrefix = "data:";
constexpr std::string_view kShuffledStarter = "starter:shuffled";

std::vector<NamedItem> ReadItemLines(const std::string& path) {
  io::JsonLines lines(path,
                      "{\"domain\": .., \"prompt\": .., \"completion\": ..} with texts that are not empty");
  std::vector<NamedItem> items;
  while (lines.Next())
    items.push_back(
        {lines.FilledText("domain"), {lines.FilledText("prompt"), lines.FilledText("completion")}});
  return items;
}

std::vector<NamedItem> ReadItems(const std::string& spec, RealPart part) {
  const std::optional<std::string> folder = DataFolderOf(spec);
  if (folder) return ReadRealItems(*folder, part);
  return IsTextFile(spec) ? ReadTextItems(spec) : ReadItemLines(spec);
}

/// Every item gets the answer of another one of its split.
void ShuffleAnswers(std::vector<eval::Item>& items, const std::string& purpose) {
  Random random(1, purpose);
  for (std::size_t i = items.size(); i > 1; --i)
    std::swap(items[i - 1].completion, items[random.Below(static_cast<std::uint32_t>(i))].completion);
}

std::vector<eval::DomainItems> StarterTasks(const TaskSizes& sizes, bool shuffled) {
  std::vector<eval::DomainItems> domains = eval::StarterTasks({sizes.search, sizes.selection, sizes.test});
  if (!shuffled) return domains;
  for (eval::DomainItems& domain : domains) {
    ShuffleAnswers(domain.search, domain.name + " search");
    ShuffleAnswers(domain.selection, domain.name + " selection");
    ShuffleAnswers(domain.test, domain.name + " test");
  }
  return domains;
}

}  // namespace

std::optional<std::string> DataFolderOf(const std::string& spec) {
  if (!spec.starts_with(kFolderPrefix)) return std::nullopt;
  return spec.substr(kFolderPrefix.size());
}

eval::Split SplitOf(const std::string& prompt) {
  const std::uint64_t hash = StableHash(prompt);
  const std::uint64_t part = (hash ^ hash >> 32) % 10;
  return part < 3 ? eval::Split::kSearch : part < 6 ? eval::Split::kSelection : eval::Split::kTest;
}

std::map<std::string, std::vector<eval::Item>> LoadTrainingItems(const std::string& spec) {
  constexpr std::size_t kCorpusPieces = 20'000;  // 32 MB of text
  if (IsCorpus(spec)) return {{spec, LoadCorpusTraining(spec, kCorpusPieces)}};
  std::map<std::string, std::vector<eval::Item>> domains;
  std::set<std::string> held_out;
  const bool is_folder = DataFolderOf(spec).has_value();
  if (is_folder)
    for (const NamedItem& named : ReadItems(spec, RealPart::kHeldOut)) held_out.insert(named.item.prompt);
  for (NamedItem& named : ReadItems(spec, RealPart::kTraining)) {
    const bool may_train = is_folder ? !held_out.contains(named.item.prompt)
                                     : SplitOf(named.item.prompt) == eval::Split::kSearch;
    if (may_train) domains[named.domain].push_back(std::move(named.item));
  }
  return domains;
}

std::vector<eval::DomainItems> LoadTasks(const std::string& spec, const TaskSizes& sizes) {
  if (spec == "starter" || spec == kShuffledStarter) return StarterTasks(sizes, spec == kShuffledStarter);
  if (IsCorpus(spec)) return {LoadCorpus(spec, sizes)};
  std::map<std::string, eval::DomainItems> domains;
  std::set<std::string> seen;
  for (NamedItem& named : ReadItems(spec, RealPart::kHeldOut)) {
    if (!seen.insert(named.item.prompt).second)
      continue;  // the same prompt twice would sit in one split twice
    eval::DomainItems& domain = domains[named.domain];
    domain.name = named.domain;
    domain.metric = eval::Metric::kNegativeLogLikelihood;
    const eval::Split part = SplitOf(named.item.prompt);
    std::vector<eval::Item>& split = part == eval::Split::kSearch      ? domain.search
                                     : part == eval::Split::kSelection ? domain.selection
                                                                       : domain.test;
    const int limit = part == eval::Split::kSearch      ? sizes.search
                      : part == eval::Split::kSelection ? sizes.selection
                                                        : sizes.test;
    if (static_cast<int>(split.size()) < limit) split.push_back(std::move(named.item));
  }
  std::vector<eval::DomainItems> result;
  for (auto& [name, domain] : domains) {
    if (domain.search.empty() || domain.selection.empty() || domain.test.empty())
      throw Error({.what = "the domain " + name + " of " + spec + " has too few items",
                   .why = "search, selection and test need at least one each",
                   .fix = "give at least 30 items of each domain"});
    result.push_back(std::move(domain));
  }
  if (result.empty())
    throw Error({.what = "there are no items in " + spec,
                 .why = "nothing in it can be used as an item",
                 .fix = "give a JSONL file of items, a text file, or data:FOLDER"});
  return result;
}

}  // namespace forge::pipeline

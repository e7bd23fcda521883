// SPDX-License-Identifier: Apache-2.0
#include "pipeline/tasks.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/philox.h"
#include "eval/starter_items.h"
#include "io/atomic_file.h"
#include "io/json_file.h"
#include "pipeline/real_tasks.h"

namespace forge::pipeline {
namespace {

constexpr std::string_view kFolderPrefix = "data:";

[[noreturn]] void ThrowLine(const std::string& path, int line, const std::string& why) {
  throw Error({.what = fmt::format("cannot use line {} of {}", line, path),
               .why = why,
               .fix = "each line must be {\"domain\": .., \"prompt\": .., \"completion\": ..} with texts "
                      "that are not empty"});
}

std::vector<NamedItem> ReadItemLines(const std::string& path) {
  std::istringstream lines(io::ReadFile(path));
  std::vector<NamedItem> items;
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const io::Json json = io::ParseJson(line, fmt::format("{}:{}", path, number));
    for (const char* field : {"domain", "prompt", "completion"})
      if (!json.is_object() || !json.contains(field) || !json[field].is_string() ||
          json[field].get<std::string>().empty())
        ThrowLine(path, number, fmt::format("the field \"{}\" is missing, empty or no text", field));
    items.push_back({json["domain"], {json["prompt"], json["completion"]}});
  }
  return items;
}

}  // namespace

std::vector<eval::DomainItems> LoadTasks(const std::string& spec, const TaskSizes& sizes) {
  if (spec == "starter") return eval::StarterTasks({sizes.search, sizes.selection, sizes.test});
  std::map<std::string, eval::DomainItems> domains;
  std::set<std::string> seen;
  for (NamedItem& named : spec.starts_with(kFolderPrefix) ? ReadRealItems(spec.substr(kFolderPrefix.size()))
                                                          : ReadItemLines(spec)) {
    if (!seen.insert(named.item.prompt).second)
      continue;  // the same prompt twice would sit in one split twice
    eval::DomainItems& domain = domains[named.domain];
    domain.name = named.domain;
    domain.metric = eval::Metric::kNegativeLogLikelihood;
    const std::uint64_t hash = StableHash(named.item.prompt);
    const std::uint64_t part = (hash ^ hash >> 32) % 10;
    std::vector<eval::Item>& split = part < 3 ? domain.search : part < 6 ? domain.selection : domain.test;
    const int limit = part < 3 ? sizes.search : part < 6 ? sizes.selection : sizes.test;
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
                 .fix = "give a JSONL file of items, or data:FOLDER"});
  return result;
}

}  // namespace forge::pipeline

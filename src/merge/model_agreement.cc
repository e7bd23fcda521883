// SPDX-License-Identifier: Apache-2.0
#include "merge/model_agreement.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "merge/compatibility.h"

namespace forge::merge {
namespace {

bool IsOneOf(const std::string& field, std::initializer_list<const char*> fields) {
  return std::find(fields.begin(), fields.end(), field) != fields.end();
}

bool IsSettled(const Difference& difference, bool as_mergekit) {
  if (difference.kind == Difference::Kind::kForbids) return false;
  if (IsOneOf(difference.field, {"model_type", "max_position_embeddings", "eos_token_id"})) return true;
  return as_mergekit && IsOneOf(difference.field, {"rope_theta", "rope_scaling", "rms_norm_eps"});
}

std::map<std::string, std::string> Fixes() {
  std::map<std::string, std::string> fixes{
      {"vocab_size", "add \"tokenizer_source: union\" (or base), which gives all models one vocabulary"}};
  for (const char* field : {"rope_theta", "rope_scaling", "rms_norm_eps"})
    fixes[field] = fmt::format(
        "merge models that agree in {}, or set it to one value in their config.json if that is "
        "what you mean",
        field);
  return fixes;
}

}  // namespace

std::vector<std::string> CheckAgreement(const std::vector<std::string>& names,
                                        const std::vector<const model::WeightSource*>& models,
                                        std::size_t first, bool as_mergekit, const std::string& source) {
  std::vector<ModelFacts> facts;
  for (std::size_t i = 0; i < models.size(); ++i) {
    facts.push_back({.name = names[i], .config = models[i]->config()});
    facts.back().config.num_hidden_layers = 1;  // slices choose layers
  }
  std::rotate(facts.begin(), facts.begin() + static_cast<std::ptrdiff_t>(first),
              facts.begin() + static_cast<std::ptrdiff_t>(first) + 1);
  std::vector<std::string> notes;
  std::vector<Difference> problems;
  for (Difference& difference : CompareModels(facts)) {
    if (IsSettled(difference, as_mergekit))
      notes.push_back(fmt::format("{}; the result has that of {}", difference.text, names[first]));
    else
      problems.push_back(std::move(difference));
  }
  RefuseDifferences("cannot merge the models that " + source + " names", problems, Fixes());
  return notes;
}

}  // namespace forge::merge

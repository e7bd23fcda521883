// SPDX-License-Identifier: Apache-2.0
#include "pipeline/search_identity.h"

#include <fmt/format.h>

#include <span>

#include "base/cpu_features.h"
#include "base/version.h"
#include "io/sha256.h"
#include "pipeline/model_hash.h"

namespace forge::pipeline {
namespace {

io::Json ItemsJson(const std::vector<eval::Item>& items) {
  io::Json json = io::Json::array();
  for (const eval::Item& item : items) json.push_back({item.prompt, item.completion});
  return json;
}

}  // namespace

void HashModels(EvolveInputs& inputs) {
  std::string average = "average";
  for (const OpenedModel& parent : inputs.parents) {
    inputs.parent_hashes.push_back(ModelHash(parent.path));
    average += " " + inputs.parent_hashes.back();
  }
  inputs.base_hash = inputs.base_is_average ? average : ModelHash(inputs.base.path);
}

jobs::Identity SearchIdentity(const EvolveInputs& inputs) {
  io::Json all{{"base", inputs.base_is_average ? "average" : inputs.base_hash},
               {"parents", inputs.parent_hashes}};
  for (const eval::DomainItems& domain : inputs.domains)
    all["domains"].push_back({{"name", domain.name},
                              {"metric", static_cast<int>(domain.metric)},
                              {"weight", domain.weight},
                              {"search", ItemsJson(domain.search)},
                              {"selection", ItemsJson(domain.selection)},
                              {"test", ItemsJson(domain.test)}});
  // Items may hold bytes that are no UTF-8.
  const std::string text = all.dump(-1, ' ', false, io::Json::error_handler_t::replace);
  return {.version = fmt::format("forge {} with {} kernels", kVersion, Name(ChosenTarget())),
          .inputs = io::Sha256(std::as_bytes(std::span(text)))};
}

}  // namespace forge::pipeline

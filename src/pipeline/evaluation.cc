// SPDX-License-Identifier: Apache-2.0
#include "pipeline/evaluation.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "base/error.h"
#include "io/sha256.h"
#include "merge/recipe_json.h"

namespace forge::pipeline {
namespace {

constexpr std::size_t kDigits = 20;  // of a hash in a key: 80 bits

std::string HashOf(const io::Json& json) {
  const std::string text = json.dump();
  return io::Sha256(std::as_bytes(std::span(text))).substr(0, kDigits);
}

io::Json ModelJson(const ModelChoice& model) {
  if (model.kind == ModelChoice::Kind::kBase) return "base";
  if (model.kind == ModelChoice::Kind::kParent) return model.parent;
  return merge::RecipeToJson(model.recipe);
}

ModelChoice ModelFromJson(const io::Json& json) {
  if (json.is_string() && json.get<std::string>() == "base") return ModelChoice::Base();
  if (json.is_number_unsigned()) return ModelChoice::Parent(json.get<std::size_t>());
  return ModelChoice::Merge(merge::RecipeFromJson(json));
}

eval::Split SplitNamed(const std::string& name) {
  for (const eval::Split split : {eval::Split::kSearch, eval::Split::kSelection, eval::Split::kTest})
    if (eval::Name(split) == name) return split;
  throw Error({.what = "cannot read an evaluation",
               .why = "its split is " + name,
               .fix = "it was written by another version of forge; start the run anew"});
}

}  // namespace

std::size_t Measure::Begin(std::size_t size) const { return std::min(size, static_cast<std::size_t>(first)); }

std::size_t Measure::End(std::size_t size) const {
  return items == 0 ? size
                    : std::min(size, static_cast<std::size_t>(first) + static_cast<std::size_t>(items));
}

io::Json Evaluation::ToJson() const {
  return {{"model", ModelJson(model)},
          {"split", eval::Name(measure.split)},
          {"likelihood", measure.likelihood},
          {"first", measure.first},
          {"items", measure.items},
          {"ternary", measure.ternary},
          {"order", measure.order}};
}

Evaluation Evaluation::FromJson(const io::Json& json) {
  try {
    return {.model = ModelFromJson(json.at("model")),
            .measure = {.split = SplitNamed(json.at("split").get<std::string>()),
                        .likelihood = json.at("likelihood").get<bool>(),
                        .first = json.at("first").get<int>(),
                        .items = json.at("items").get<int>(),
                        .ternary = json.at("ternary").get<bool>(),
                        .order = json.at("order").get<std::vector<std::vector<int>>>()}};
  } catch (const io::Json::exception& error) {
    throw Error({.what = "cannot read an evaluation",
                 .why = error.what(),
                 .fix = "it was written by another version of forge; start the run anew"});
  }
}

std::string Evaluation::Key() const {
  std::string name = "base";
  if (model.kind == ModelChoice::Kind::kParent) name = fmt::format("parent {}", model.parent);
  if (model.kind == ModelChoice::Kind::kRecipe) name = HashOf(ModelJson(model));
  const std::string order = measure.order.empty() ? "" : fmt::format(" of {}", HashOf(measure.order));
  return fmt::format("{}{}{} {}+{}{} {}", eval::Name(measure.split), measure.likelihood ? " likelihood" : "",
                     measure.ternary ? " ternary" : "", measure.first, measure.items, order, name);
}

}  // namespace forge::pipeline

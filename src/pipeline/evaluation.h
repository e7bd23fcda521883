// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "eval/item.h"
#include "io/json_file.h"
#include "merge/recipe.h"

namespace forge::pipeline {

/// Scores by domain and item, higher is better.
using Scores = std::vector<std::vector<double>>;

/// Which of the models that all workers of a search can make.
struct ModelChoice {
  enum class Kind { kBase, kParent, kRecipe };
  Kind kind = Kind::kBase;
  std::size_t parent = 0;     // of kParent
  merge::MergeRecipe recipe;  // of kRecipe

  static ModelChoice Base() { return {}; }
  static ModelChoice Parent(std::size_t index) {
    return {.kind = Kind::kParent, .parent = index, .recipe = {}};
  }
  static ModelChoice Merge(merge::MergeRecipe recipe) {
    return {.kind = Kind::kRecipe, .parent = 0, .recipe = std::move(recipe)};
  }
};

/// What is measured of it: the domains' metric or, with `likelihood`, minus the nats a token of the gold
/// answers, which needs no generation.
struct Measure {
  eval::Split split = eval::Split::kSearch;
  bool likelihood = false;
  /// Of each domain the items [first, first + items), as far as there are some; 0 items: all from `first` on.
  int first = 0, items = 0;
  /// With the linears rounded to ternary values first, as compression would without any training.
  bool ternary = false;
  /// By domain, the items in the order in which `first` and `items` count: a permutation. Empty: as stored.
  std::vector<std::vector<int>> order = {};

  /// The part of [0, size) that it takes.
  std::size_t Begin(std::size_t size) const;
  std::size_t End(std::size_t size) const;
};

/// A model and what is measured of it: one job of a search. Its scores are a function of these and of the
/// search's inputs.
struct Evaluation {
  ModelChoice model;
  Measure measure;

  io::Json ToJson() const;
  /// The inverse. Throws Error(kInput) for what no forge of this version has written.
  static Evaluation FromJson(const io::Json& json);
  /// For the store: "search likelihood 0+64 3f2a...": equal for equal evaluations only.
  std::string Key() const;
};

}  // namespace forge::pipeline

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace forge::eval {

/// The disjoint parts of a task: training data, fitness of the search, choice of the champion, the reported
/// number.
enum class Split { kTrain, kSearch, kSelection, kTest };
std::string_view Name(Split split);

/// One question with its gold continuation. For exact match the completion ends with a newline.
struct Item {
  std::string prompt;
  std::string completion;
};

enum class Metric { kExactMatch, kNegativeLogLikelihood };

/// The items of one domain of a task, by split.
struct DomainItems {
  std::string name;
  Metric metric = Metric::kExactMatch;
  double weight = 1;
  std::vector<Item> search, selection, test;

  const std::vector<Item>& Of(Split split) const;
};

}  // namespace forge::eval

// SPDX-License-Identifier: Apache-2.0
#include "eval/item.h"

#include "base/check.h"

namespace forge::eval {

std::string_view Name(Split split) {
  switch (split) {
    case Split::kTrain:
      return "train";
    case Split::kSearch:
      return "search";
    case Split::kSelection:
      return "selection";
    case Split::kTest:
      return "test";
  }
  return "?";
}

const std::vector<Item>& DomainItems::Of(Split split) const {
  FORGE_CHECK(split != Split::kTrain);
  return split == Split::kSearch ? search : split == Split::kSelection ? selection : test;
}

}  // namespace forge::eval

// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer_data.h"

#include <algorithm>

namespace forge::text {

bool IsAdded(TokenType type) {
  return type == TokenType::kControl || type == TokenType::kUnknown || type == TokenType::kUserDefined;
}

AddedTokenRule RuleOf(const TokenizerData& data, int id) {
  const auto found =
      std::lower_bound(data.added.begin(), data.added.end(), id,
                       [](const AddedTokenRule& rule, int wanted) { return rule.id < wanted; });
  return found != data.added.end() && found->id == id ? *found : AddedTokenRule{.id = id};
}

}  // namespace forge::text

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace forge {

/// The candidate with the smallest edit distance (insert, delete, replace, each 1) to `name`, if it is close
/// enough to be a misspelling: at most a third of the length, but at least 2 edits. For error messages.
std::optional<std::string> NearestName(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace forge

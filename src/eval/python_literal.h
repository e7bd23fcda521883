// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "io/json_file.h"

namespace forge::eval {

/// The value of a Python literal (strings, numbers, True, False, None, lists, tuples, dicts with string
/// keys), as Python's ast.literal_eval reads it: what a template that prints a list gives. Tuples become
/// arrays. nullopt for anything else.
std::optional<io::OrderedJson> ParsePythonLiteral(std::string_view text);

}  // namespace forge::eval

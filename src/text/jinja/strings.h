// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/value.h"

namespace forge::text::jinja {

// What both methods and filters do with text. Case follows Unicode's simple mappings, one code point for one
// (Python also knows a few that grow, as the German sharp s).
std::string Upper(std::string_view text);
std::string Lower(std::string_view text);
std::string Capitalize(std::string_view text);
std::string Title(std::string_view text);
/// Takes white space, or the characters of the first argument, off the ends.
std::string Strip(const std::string& text, const Arguments& arguments, bool left, bool right);
/// Arguments: separator (none: runs of white space), most cuts.
List Split(const std::string& text, const Arguments& arguments);
List SplitLines(const std::string& text);
/// Arguments: old, new, most replacements.
std::string Replace(const std::string& text, const Arguments& arguments);

}  // namespace forge::text::jinja

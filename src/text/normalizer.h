// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace forge::text {

/// Unicode NFC (utf8proc). Text that is NFC already, nearly all text there is, comes back as it is and costs
/// a look at each character; else the result is built in `buffer` and the view is of that. Only the stretches
/// that are not NFC are normalized. Bytes that are not UTF-8 stay where they are.
std::string_view NormalizeNfc(std::string_view text, std::string& buffer);

/// SentencePiece's remove_extra_whitespaces: of each run of spaces one is left, none at either end, nor any
/// "▁" at the end.
std::string CollapseSpaces(std::string_view text);

/// " " becomes "▁" (U+2581), with one more in front if `prefix` and the text is not empty.
std::string SpellSpaces(std::string_view text, bool prefix);

}  // namespace forge::text

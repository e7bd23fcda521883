// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace forge::text {

/// Unicode NFC (utf8proc). ASCII and text that is not valid UTF-8 come back unchanged.
std::string NormalizeNfc(std::string_view text);

}  // namespace forge::text

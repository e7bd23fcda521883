// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace forge::text {

/// GPT-2's spelling of bytes as visible characters: printable Latin-1 bytes stand for themselves, the other
/// 68 are U+0100, U+0101, ... in order (openai/gpt-2, encoder.py, bytes_to_unicode). So a space is written
/// "Ġ".
const std::string& SpellByte(unsigned char byte);
std::string SpellBytes(std::string_view bytes);
/// Adds the bytes of a spelling; false, and nothing is added, if it holds a character outside the alphabet.
bool AppendBytesOfSpelling(std::string_view spelling, std::string& bytes);

}  // namespace forge::text

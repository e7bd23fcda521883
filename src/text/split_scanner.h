// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace forge::text {

/// Where the piece that starts at `position` ends; always past `position`, which must be inside the text.
/// Bytes that are not UTF-8 end a piece and make pieces of their own (one for each run of them), as if the
/// text ended and began anew there.
using PieceEnd = std::size_t (*)(std::string_view text, std::size_t position);

/// A scanner written by hand that cuts exactly as the regular expressions `patterns`, one after the other,
/// do: GPT-2's, GPT-2's after single digits (SmolLM2), Qwen2's and Llama 3's (tokenizer_data.h). Null for
/// other patterns. One pass; each call costs the length of the piece, plus that of the run of spaces it
/// starts with.
PieceEnd FindScanner(const std::vector<std::string>& patterns);

}  // namespace forge::text

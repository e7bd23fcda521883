// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pipeline/real_tasks.h"

namespace forge::pipeline {

/// A text file (its name ends in .txt) as items: pieces of about 1600 bytes, cut at white space; the first
/// quarter of a piece is the prompt, the rest the completion. The domain is the file's name without its
/// ending. Throws Error(kInput) for a file that cannot be read or holds no piece of at least 400 bytes.
std::vector<NamedItem> ReadTextItems(const std::string& path);

/// Walks over a text piece by piece: the one from `start` on, which moves behind it. Nothing at the end, or,
/// if more text is to come (not is_whole), where it might belong to the piece. A word without end makes no
/// item, and the walk goes on behind it.
std::optional<eval::Item> NextPiece(const std::string& text, std::size_t& start, bool is_whole);

/// Whether `spec` names a text file.
bool IsTextFile(const std::string& spec);

}  // namespace forge::pipeline

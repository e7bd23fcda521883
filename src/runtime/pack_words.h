// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace forge::runtime {

struct PackOptions;

/// The words that users choose the form of a packed file with, of `forge pack` and of
/// `forge compress --also-export packed`.
///
/// How ternary codes lie (CodeLayout): "two-bit", "base-3", "base-27"; the latter two where they are smaller
/// (CodeMatrix::TernaryLayout).
const std::vector<std::string>& CodeWords();

/// How embedding and head are held: "auto", as they are stored; "q8_0"; "q8_rotated", a head of int8 with one
/// scale for each row and rotated inputs (CodeMatrix::EmptyRotated; an embedding that is not the head is
/// q8_0); "q4_0".
const std::vector<std::string>& EmbeddingWords();

/// Options for int8 activations, with linears as they are stored. `codes` is one of CodeWords, `embeddings`
/// one of EmbeddingWords.
PackOptions OptionsFromWords(const std::string& codes, const std::string& embeddings);

}  // namespace forge::runtime

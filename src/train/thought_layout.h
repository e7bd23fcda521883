// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

namespace forge::train {

/// Where the tokens of one packed row go when thoughts run in parallel (Quiet-STaR, arXiv:2403.09629,
/// section 4.2; quiet-star.md 1.2). A row is the text, then one block for each pass:
///   [text_length] [columns] [columns] ... : pass p = 1 .. passes holds the p-th token of every column.
/// A column is one thought: start, its sampled tokens, end, then the look-ahead tokens but the last.
struct ThoughtLayout {
  int text_length = 0;
  std::vector<int> anchors;  // [columns]: the text position after which the thought of a column stands
  int passes = 0;            // tokens of a column

  int columns() const { return static_cast<int>(anchors.size()); }
  int size() const { return text_length + passes * columns(); }
  /// Index in the row of token `pass` (1 .. passes) of a column.
  int Index(int pass, int column) const { return text_length + (pass - 1) * columns() + column; }
  /// Text token i has position i; pass p of a column anchored at j has j + p, as if it were written after
  /// token j.
  std::vector<int> Positions() const;
  /// visible[q * size() + k]: text sees earlier text; a column sees the text up to its anchor and itself.
  std::vector<bool> Visible() const;
};

}  // namespace forge::train

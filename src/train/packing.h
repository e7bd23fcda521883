// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "train/token_batch.h"

namespace forge::train {

/// A text to learn: the tokens from `learned_from` on, each from all before it. Token 0 is never learned.
struct Document {
  std::vector<int> tokens;
  int learned_from = 0;
};

/// Documents laid out in rows, and the rows in the order in which they are trained on.
///
/// Packed, a row of `length` tokens holds several documents, none cut: longest first, each into the row with
/// the least space that takes it (best-fit decreasing). Not packed, each document has a row. Every epoch goes
/// through all rows once, in an order of its own, so each document is seen equally often.
class PackedRows {
 public:
  /// Every document must have 2 to `length` tokens.
  PackedRows(std::vector<Document> documents, int length, bool packs, std::uint64_t seed);

  std::size_t num_rows() const { return rows_.size(); }
  /// Share of the tokens of all rows that belong to documents.
  double fill() const;
  /// The rows first, first + 1, .. of the endless sequence of epochs; as long as the longest of them. A pure
  /// function of its arguments; may be called on any thread.
  TokenBatch Batch(std::uint64_t first, int count) const;

 private:
  const std::vector<std::uint32_t>& OrderOf(std::uint64_t epoch, std::vector<std::uint32_t>& scratch) const;

  std::vector<Document> documents_;
  std::vector<std::vector<std::uint32_t>> rows_;  // documents of each
  int length_;
  bool packs_;
  std::uint64_t seed_;
  std::vector<std::uint32_t> first_order_;
};

}  // namespace forge::train

// SPDX-License-Identifier: Apache-2.0
#include "train/packing.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "base/check.h"
#include "base/philox.h"

namespace forge::train {
namespace {

/// Fisher and Yates.
void Shuffle(std::vector<std::uint32_t>& order, Random random) {
  for (std::size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[random.Below(static_cast<std::uint32_t>(i))]);
}

}  // namespace

PackedRows::PackedRows(std::vector<Document> documents, int length, bool packs, std::uint64_t seed)
    : documents_(std::move(documents)), length_(length), packs_(packs), seed_(seed) {
  for (const Document& document : documents_)
    FORGE_CHECK(document.tokens.size() >= 2 && document.tokens.size() <= static_cast<std::size_t>(length));
  std::vector<std::uint32_t> order(documents_.size());
  std::iota(order.begin(), order.end(), 0u);
  if (packs) {
    const auto size = [&](std::uint32_t document) { return documents_[document].tokens.size(); };
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return size(a) > size(b); });
    std::multimap<std::size_t, std::size_t> spaces;  // tokens left, row
    for (const std::uint32_t document : order) {
      auto found = spaces.lower_bound(size(document));
      std::size_t left = static_cast<std::size_t>(length), row = rows_.size();
      if (found != spaces.end()) {
        std::tie(left, row) = *found;
        spaces.erase(found);
      } else {
        rows_.emplace_back();
      }
      rows_[row].push_back(document);
      if (left > size(document)) spaces.emplace(left - size(document), row);
    }
  } else {
    for (const std::uint32_t document : order) rows_.push_back({document});
  }
  std::vector<std::uint32_t> scratch;
  first_order_ = OrderOf(0, scratch);
}

double PackedRows::fill() const {
  std::size_t tokens = 0;
  for (const Document& document : documents_) tokens += document.tokens.size();
  return static_cast<double>(tokens) / (static_cast<double>(rows_.size()) * length_);
}

const std::vector<std::uint32_t>& PackedRows::OrderOf(std::uint64_t epoch,
                                                      std::vector<std::uint32_t>& scratch) const {
  if (epoch == 0 && !first_order_.empty()) return first_order_;
  scratch.resize(rows_.size());
  std::iota(scratch.begin(), scratch.end(), 0u);
  Shuffle(scratch, Random(seed_, "train/epoch", epoch));
  return scratch;
}

TokenBatch PackedRows::Batch(std::uint64_t first, int count) const {
  TokenBatch batch{.rows = count, .length = packs_ ? length_ : 0};
  std::vector<const std::vector<std::uint32_t>*> rows;
  std::vector<std::uint32_t> scratch;
  std::uint64_t known_epoch = ~std::uint64_t{0};
  const std::vector<std::uint32_t>* order = nullptr;
  for (int i = 0; i < count; ++i) {
    const std::uint64_t index = first + static_cast<std::uint64_t>(i), epoch = index / rows_.size();
    if (epoch != known_epoch) order = &OrderOf(known_epoch = epoch, scratch);
    rows.push_back(&rows_[(*order)[index % rows_.size()]]);
    if (!packs_)
      batch.length = std::max(batch.length, static_cast<int>(documents_[rows.back()->front()].tokens.size()));
  }
  for (const std::vector<std::uint32_t>* row : rows) {
    int used = 0;
    for (const std::uint32_t index : *row) {
      const Document& document = documents_[index];
      for (int t = 0; t < static_cast<int>(document.tokens.size()); ++t) {
        batch.tokens.push_back(document.tokens[static_cast<std::size_t>(t)]);
        batch.token_weights.push_back(t >= std::max(1, document.learned_from) ? 1.0f : 0.0f);
        batch.positions.push_back(t);
      }
      used += static_cast<int>(document.tokens.size());
    }
    for (int t = used; t < batch.length; ++t) {
      batch.tokens.push_back(0);
      batch.token_weights.push_back(0);
      batch.positions.push_back(packs_ ? t - used : t);  // the rest is a document of its own, not learned
    }
  }
  return batch;
}

}  // namespace forge::train

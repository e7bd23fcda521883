// SPDX-License-Identifier: Apache-2.0
#include "runtime/ternary/best_row.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "base/thread_pool.h"
#include "runtime/ternary/code_kernels.h"

namespace forge::runtime {
namespace {

constexpr float kDeviations = 8, kVarianceOfLowerHalf = 21.25f;
constexpr std::size_t kFirstPanels = 16;  // of the highest bounds; the cheapest number (docs/results.md)
constexpr std::size_t kPanelsOfPiece = 32;

/// SpreadTile for a token: unit 8 max |s|, so that no square leaves the range of a float.
struct Spread {
  explicit Spread(const Int8Rows& rows) : x(rows.Tile(0)), of_block(rows.blocks()) {
    float most = 0;
    for (std::size_t block = 0; block < rows.blocks(); ++block) most = std::max(most, x.scales[block]);
    unit = kDeviations * most;
    if (most == 0) return;
    for (std::size_t block = 0; block < rows.blocks(); ++block) {
      std::int32_t squares = 0;  // at most 32 * 127^2
      for (std::size_t k = block * rows.block(); k < (block + 1) * rows.block(); ++k)
        squares += x.codes[k] * x.codes[k];
      const float scale = x.scales[block] / most;
      of_block[block] = kVarianceOfLowerHalf * static_cast<float>(squares) * (scale * scale);
    }
  }
  Int8Tile x;
  std::vector<float> of_block;
  float unit = 0;
};

class Search {
 public:
  Search(const CodeMatrix& matrix, const Int8Rows& x, std::span<const int> banned)
      : matrix_(matrix), panels_(matrix.code_panels()), spread_(x), banned_(banned) {}

  std::optional<BestRow> Run() {
    BoundPanels();
    std::vector<std::size_t> order(bounds_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto first = static_cast<std::ptrdiff_t>(std::min(kFirstPanels, order.size()));
    std::nth_element(order.begin(), order.begin() + (first - 1), order.end(),
                     [&](std::size_t a, std::size_t b) { return bounds_[a] > bounds_[b]; });
    Multiply(std::span(order).first(static_cast<std::size_t>(first)));
    // Equal to the bound is not ruled out: among equal products the lowest row counts.
    const auto others = std::span(order).subspan(static_cast<std::size_t>(first));
    const auto end = std::partition(others.begin(), others.end(), [&](std::size_t panel) {
      return !best_ || !(bounds_[panel] < best_->value);
    });
    const std::span<std::size_t> open(others.begin(), end);
    std::sort(open.begin(), open.end());  // as they lie in memory
    Multiply(open);
    if (best_) best_->exact_rows = exact_panels_ * kCodeRows;
    return best_;
  }

 private:
  void BoundPanels() {
    bounds_.resize((matrix_.out() + kCodeRows - 1) / kCodeRows);
    const SpreadTile tile{spread_.x, spread_.of_block.data(), spread_.unit};
    ParallelFor(bounds_.size(), kPanelsOfPiece, [&](std::size_t first, std::size_t last) {
      ChosenCodeKernels().halves->bound_panels(panels_, tile, first, last, bounds_.data() + first);
      // No number (of scales that are none) rules nothing out, and has a place in an order.
      for (std::size_t panel = first; panel < last; ++panel)
        if (std::isnan(bounds_[panel])) bounds_[panel] = std::numeric_limits<float>::infinity();
    });
  }

  /// The exact products of some panels, which may change best_.
  void Multiply(std::span<const std::size_t> panels) {
    std::vector<std::optional<BestRow>> found(panels.size());
    ParallelFor(panels.size(), 2, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) found[i] = BestOf(panels[i]);
    });
    for (const std::optional<BestRow>& row : found)
      if (row &&
          (!best_ || row->value > best_->value || (row->value == best_->value && row->row < best_->row)))
        best_ = row;
    exact_panels_ += panels.size();
  }

  std::optional<BestRow> BestOf(std::size_t panel) const {
    float sums[kCodeRows];
    ChosenCodeKernels().halves->multiply_row(panels_, spread_.x, panel, panel + 1, sums);
    std::optional<BestRow> best;
    const std::size_t first = panel * kCodeRows, rows = std::min(kCodeRows, matrix_.out() - first);
    for (std::size_t r = 0; r < rows; ++r)
      if ((!best || sums[r] > best->value) &&
          std::find(banned_.begin(), banned_.end(), static_cast<int>(first + r)) == banned_.end())
        best = {first + r, sums[r], 0};
    return best;
  }

  const CodeMatrix& matrix_;
  const CodePanels& panels_;
  const Spread spread_;
  const std::span<const int> banned_;
  std::vector<float> bounds_;  // [panels], of their best row
  std::optional<BestRow> best_;
  std::size_t exact_panels_ = 0;
};

}  // namespace

std::optional<BestRow> FindBestRow(const CodeMatrix& matrix, const Int8Rows& x, std::span<const int> banned) {
  FORGE_CHECK(matrix.layout() == CodeLayout::kHalves && x.rows() == 1 && x.depth() == matrix.in() &&
              x.block() == matrix.block());
  return Search(matrix, x, banned).Run();
}

}  // namespace forge::runtime

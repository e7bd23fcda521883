// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "merge/exact/magnitude_threshold.h"
#include "merge/tensor_task.h"

namespace forge::merge {

/// Which changes of one model a method of the task arithmetic family keeps.
///
///   ties, breadcrumbs(_ties)  by magnitude over the whole tensor: the int(density * n) largest, at least one
///                             for ties; breadcrumbs first leaves out the int(gamma * n) largest. Of equal
///                             magnitudes those of lower index count as larger.
///   dare_*                    each with probability `density`
///   della*                    each with probability density - epsilon + 2 epsilon (rank - 1) / (columns -
///   1),
///                             rank by magnitude in its row; ranks come from a histogram of 64 bins an
///                             octave, whose values share their mean rank, so a probability is off by less
///                             than 0.01 epsilon for smooth weights. All of a row of one column: density.
///   task_arithmetic           all; density has no effect (as in mergekit)
///
/// The random bits are keyed by (seed, name of the tensor, source, element): no order, no threads; a larger
/// density keeps what a smaller one kept.
class Sparsifier {
 public:
  Sparsifier(const TensorTask& task, std::size_t source, std::uint64_t seed);

  bool keeps_all() const { return kind_ == Kind::kAll; }
  bool keeps_none() const { return kind_ == Kind::kNone; }
  /// Those that still look for their code; passes are needed while there are any.
  std::vector<MagnitudeThreshold*> OpenThresholds();

  /// What a piece is compared with thresholds for, kept between Compare and Keep.
  struct Marks {
    struct Threshold {
      std::vector<std::uint64_t> above, equal;  // bits of elements
      std::size_t num_equal = 0;
    };
    Threshold lower, upper;
  };

  /// Compares a piece with the thresholds, and appends to `counts` how many values equal each where that must
  /// be known of the pieces before: num_counts of them.
  void Compare(const Change& changes, std::size_t size, Marks& marks, std::vector<std::size_t>& counts) const;
  std::size_t num_counts() const;

  /// Which changes of a piece are kept: bit i % 64 of bits[i / 64], [size / 64 + 1], for element first + i.
  /// The same at each call.
  ///   first   element of the tensor that the piece starts at, a multiple of the columns
  ///   before  [num_counts] of all pieces before this one;  marks  of this one
  void Keep(std::size_t first, const Change& changes, std::size_t size, const Marks& marks,
            std::span<const std::size_t> before, std::uint64_t* bits) const;

  /// Whether what is kept is drawn at random.
  bool draws() const { return kind_ == Kind::kRandom || kind_ == Kind::kDella; }

 private:
  enum class Kind { kAll, kNone, kMagnitude, kRandom, kDella };

  static bool NeedsCount(const MagnitudeThreshold* threshold);
  void KeepByMagnitude(std::size_t size, const Marks& marks, std::span<const std::size_t> before,
                       std::uint64_t* bits) const;
  void KeepAtRandom(std::size_t first, const Change& changes, std::size_t size, std::uint64_t* bits) const;
  const std::uint16_t* RandomHalves(std::size_t first, std::size_t size) const;
  void KeepOfRow(const Change& row, const std::uint16_t* halves, std::uint64_t* bits) const;

  static constexpr std::size_t kDellaBins = 256;
  Kind kind_ = Kind::kAll;
  std::size_t columns_;
  double density_ = 1, epsilon_ = 0;
  std::unique_ptr<MagnitudeThreshold> lower_, upper_;  // of what is kept; no upper_: no largest left out
  std::uint32_t key_[2] = {}, counter_[3] = {};
};

}  // namespace forge::merge

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "merge/kernels/element_kernels.h"

namespace forge::merge {

/// Finds the k-th largest of n magnitudes exactly without sorting them. It keeps a range of codes (bits of
/// |x|) that should hold it; a pass counts what lies above the range and gathers the codes inside, of which
/// the right one is then picked. Where too many lie inside they are counted in 2^16 bins and the bin becomes
/// the next range. With a sample of the values first one pass is enough as a rule, else two.
class MagnitudeThreshold {
 public:
  /// 1 <= k <= n
  MagnitudeThreshold(std::size_t n, std::size_t k, bool samples_first);
  /// Samples first where n is large enough for a sample to be worth a pass of its own.
  MagnitudeThreshold(std::size_t n, std::size_t k);
  /// Where it is known to lie in `range` (MagnitudeTable) there is nothing to sample. A wrong range costs
  /// passes.
  MagnitudeThreshold(std::size_t n, std::size_t k, CodeRange range);

  bool done() const { return done_; }
  /// Whether this pass, the first, takes a few of the values only.
  bool is_sampling() const { return is_sampling_; }
  /// Each value once a pass, or those of the sample. May be called from several threads.
  void Observe(const Change& changes, std::size_t size);
  void EndPass();

  /// The rest once done. The code of the k-th largest.
  std::uint32_t code() const { return code_; }
  /// How many values have that code.
  std::size_t num_equal() const { return num_equal_; }
  /// How many of those are among the k largest: those of the lowest index, by our rule.
  std::size_t num_equal_kept() const { return k_ - num_above_; }

 private:
  void Sample(const Change& changes, std::size_t size);
  void UseSample();
  struct Counts {
    std::size_t above = 0;             // at or above the range's end
    std::vector<std::uint32_t> codes;  // inside, until there are too many
    std::vector<std::uint32_t> bins;   // from then on; empty before
  };
  void CountInBins(Counts& counts) const;
  void FinishWith(std::vector<std::uint32_t>& inside, std::size_t above);
  void SetRange(CodeRange range);
  std::unique_ptr<Counts> TakeCounts();

  std::size_t n_, k_;
  CodeRange range_;  // that is believed to hold the code
  int shift_ = 0;    // codes of a bin: 2^shift
  bool done_ = false, is_sampling_;
  std::uint32_t code_ = 0;
  std::size_t num_above_ = 0, num_equal_ = 0;

  std::mutex mutex_;
  std::vector<std::uint32_t> sample_;  // how many of the sample lie in each bin of codes
  std::size_t sample_size_ = 0;
  std::vector<std::unique_ptr<Counts>> counts_;  // not in use by a thread
};

/// Adds up counts of pieces in the order of their index while the pieces are worked on by several threads, so
/// that a piece learns what those before it hold. A thread waits until the pieces before its own were added;
/// those are being worked on, since pieces are begun in order.
class RunningCounts {
 public:
  /// counts [counters]: in: of this piece; out: of all before it. False: another piece failed.
  bool Add(std::size_t index, std::span<std::size_t> counts);
  /// Before each pass over the pieces.
  void Restart(std::size_t counters);
  void Abort();

 private:
  std::vector<std::size_t> totals_;
  std::size_t next_ = 0;
  bool aborted_ = false;
  std::mutex mutex_;
  std::condition_variable added_;
};

}  // namespace forge::merge

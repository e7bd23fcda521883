// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <vector>

namespace forge::train {

/// The gradients of a step, one tensor for all micro-batches, which run at the same time. Each adds its own
/// in its turn, so the sums have the same bits whichever is faster. Micro-batches must be started in order.
class GradientSum {
 public:
  explicit GradientSum(std::size_t size) : sums_(size), turns_(size) {}

  /// For a new step: nothing is defined, micro-batch 0 comes first.
  void Clear();
  /// Adds `gradient`, which is given away, to number `index` when all micro-batches before `micro` have.
  /// Call once for each micro-batch and index. Rethrows what made another micro-batch fail.
  void Add(std::size_t index, std::size_t micro, at::Tensor gradient);
  /// Wakes those that wait for a micro-batch that failed with `error`.
  void Abandon(std::exception_ptr error);

  std::vector<at::Tensor>& sums() { return sums_; }

 private:
  std::vector<at::Tensor> sums_;
  std::vector<std::size_t> turns_;
  std::mutex mutex_;
  std::condition_variable turned_;
  std::exception_ptr error_;
};

/// Runs the micro-batches of a step on the global thread pool, one libtorch thread each; where one fails, the
/// others do not wait for its gradients, and the error is rethrown.
void RunMicroBatches(std::size_t count, GradientSum& sum, const std::function<void(std::size_t micro)>& pass);

}  // namespace forge::train

// SPDX-License-Identifier: Apache-2.0
#include "train/torch/gradient_sum.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "base/thread_pool.h"

namespace forge::train {

void GradientSum::Clear() {
  for (at::Tensor& sum : sums_) sum.reset();
  turns_.assign(turns_.size(), 0);
  error_ = nullptr;
}

void GradientSum::Add(std::size_t index, std::size_t micro, at::Tensor gradient) {
  std::unique_lock lock(mutex_);
  turned_.wait(lock, [&] { return turns_[index] == micro || error_ != nullptr; });
  if (error_) std::rethrow_exception(error_);
  lock.unlock();  // nobody else touches this index before the turn changes
  if (micro == 0)
    sums_[index] = gradient.to(at::kFloat).contiguous();
  else
    sums_[index].add_(gradient);
  lock.lock();
  ++turns_[index];
  turned_.notify_all();
}

void GradientSum::Abandon(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  if (!error_) error_ = std::move(error);
  turned_.notify_all();
}

void RunMicroBatches(std::size_t count, GradientSum& sum,
                     const std::function<void(std::size_t micro)>& pass) {
  ThreadPool::Global().Run(count, [&](std::size_t micro) {
    at::set_num_threads(1);  // of this thread: the micro-batches are what runs in parallel
    try {
      pass(micro);
    } catch (...) {  // the others wait for this one's gradients
      sum.Abandon(std::current_exception());
      throw;
    }
  });
}

}  // namespace forge::train

// SPDX-License-Identifier: Apache-2.0
#include "train/torch/torch_engine.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <malloc.h>
#include <torch/cuda.h>
#include <torch/version.h>

#include <climits>

#include "base/thread_pool.h"
#include "train/torch/tensor_model.h"
#include "train/torch/training_run.h"

namespace forge::train {

TorchEngine::TorchEngine() {
  // Big temporaries come back from the heap instead of from mmap, whose pages the kernel zeroes anew each
  // time: 2 to 45 % of a training step (libtorch-on-debian.md 3).
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, INT_MAX);
  mallopt(M_TOP_PAD, 64 << 20);
  at::set_num_threads(1);  // parallelism is over micro-batches: the same bytes for any number of threads
  at::globalContext().setDeterministicAlgorithms(true, false);
}

std::vector<float> TorchEngine::Logits(const model::ModelConfig& config, const model::ModelWeights& weights,
                                       std::span<const int> tokens, const std::string& device_name) {
  const c10::NoGradGuard no_gradient;
  const at::Device device = ParseDevice(device_name);
  const ParameterMap parameters = ToParameters(weights, device);
  const TensorModel model(config, parameters);
  const auto length = static_cast<std::int64_t>(tokens.size());
  const at::Tensor ids =
      at::from_blob(const_cast<int*>(tokens.data()), {1, length}, at::kInt).to(at::kLong).to(device);
  const at::Tensor positions =
      at::arange(length, at::TensorOptions().dtype(at::kLong).device(device)).unsqueeze(0);
  const at::Tensor logits = model.Head(model.Forward(model.Embed(ids), positions)).to(at::kCPU).contiguous();
  return {logits.const_data_ptr<float>(), logits.const_data_ptr<float>() + logits.numel()};
}

std::vector<std::vector<float>> TorchEngine::ScoreEach(const model::ModelConfig& config,
                                                       const model::ModelWeights& weights,
                                                       std::span<const std::vector<int>> sequences,
                                                       const std::string& device_name) {
  const c10::NoGradGuard no_gradient;
  const at::Device device = ParseDevice(device_name);
  const ParameterMap parameters = ToParameters(weights, device);
  const TensorModel model(config, parameters);
  std::vector<std::vector<float>> scores;
  for (const std::vector<int>& tokens : sequences) {
    const auto length = static_cast<std::int64_t>(tokens.size());
    const at::Tensor ids =
        at::from_blob(const_cast<int*>(tokens.data()), {1, length}, at::kInt).to(at::kLong).to(device);
    const at::Tensor inputs = ids.narrow(1, 0, length - 1);
    const at::Tensor positions =
        at::arange(length - 1, at::TensorOptions().dtype(at::kLong).device(device)).unsqueeze(0);
    const at::Tensor log_probs =
        at::log_softmax(model.Head(model.Forward(model.Embed(inputs), positions)), -1);
    const at::Tensor chosen =
        log_probs.gather(-1, ids.narrow(1, 1, length - 1).unsqueeze(-1)).flatten().to(at::kCPU).contiguous();
    scores.emplace_back(chosen.const_data_ptr<float>(), chosen.const_data_ptr<float>() + chosen.numel());
  }
  return scores;
}

std::vector<std::string> TorchEngine::CudaDevices() const {
  std::vector<std::string> devices;
  if (!at::globalContext().hasCUDA()) return devices;
  for (int i = 0; i < static_cast<int>(torch::cuda::device_count()); ++i)
    devices.push_back("cuda:" + std::to_string(i));
  return devices;
}

std::string TorchEngine::Describe() const {
  return std::string("libtorch ") + TORCH_VERSION + ", " +
         std::to_string(ThreadPool::Global().num_threads()) +
         " threads, CUDA devices: " + std::to_string(CudaDevices().size());
}

}  // namespace forge::train

extern "C" __attribute__((visibility("default"))) forge::train::Engine* forge_create_engine() {
  static forge::train::TorchEngine engine;
  return &engine;
}

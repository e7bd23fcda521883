// SPDX-License-Identifier: Apache-2.0
#include "train/torch/tuned_weights.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "base/philox.h"
#include "base/thread_pool.h"
#include "train/torch/matrix_product.h"

namespace forge::train {
namespace {

std::string ModuleOf(const std::string& weight) {
  return weight.substr(0, weight.size() - std::string_view(".weight").size());
}

at::Tensor StartOfA(std::int64_t rank, std::int64_t columns, const std::string& module, std::uint64_t seed) {
  at::Tensor a = at::empty({rank, columns}, at::kFloat);
  const double bound = 1 / std::sqrt(static_cast<double>(columns));
  Random random(seed, "train/lora/" + module);
  float* values = a.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < a.numel(); ++i)
    values[i] = static_cast<float>((2 * random.Uniform() - 1) * bound);
  return a;
}

model::Tensor ToTensor(const at::Tensor& values) {
  const at::Tensor dense = values.to(at::kCPU).contiguous();
  const float* data = dense.const_data_ptr<float>();
  return {dense.sizes().vec(), std::vector<float>(data, data + dense.numel())};
}

}  // namespace

at::Tensor RoundToInt8(const at::Tensor& x) {
  const at::Tensor scale = x.to(at::kFloat).abs().amax(-1, true).clamp_min_(1e-5) / 127;
  return (x / scale).round_().mul_(scale);
}

TunedWeights::TunedWeights(const TuneJob& job, const at::Device& device)
    : TunedWeights(job, *job.weights, true, device) {}

TunedWeights TunedWeights::Teacher(const TuneJob& job, const at::Device& device) {
  return TunedWeights(job, *job.teacher, false, device);
}

TunedWeights::TunedWeights(const TuneJob& job, const model::ModelWeights& weights, bool trains,
                           const at::Device& device)
    : compute_type_(job.precision == Precision::kBFloat16 ? at::kBFloat16 : at::kFloat) {
  if (trains) {
    lora_ = job.lora;
    straight_through_ = job.straight_through;
  }
  if (lora_.rank > 0) lora_scale_ = lora_.alpha / lora_.rank;
  const auto train = [&](const std::string& name, bool decays) {
    index_[name] = static_cast<int>(trained_.size());
    trained_.push_back(name);
    decays_.push_back(decays);
  };
  for (const model::TensorSpec& spec : model::ListTensors(job.config)) {
    const model::Tensor& tensor = weights.at(spec.name);
    // Written to only where it is trained, and then it is job.weights, which may be.
    weights_[spec.name] =
        at::from_blob(const_cast<float*>(tensor.values.data()), tensor.shape, at::kFloat).to(device);
    const bool is_ternary = straight_through_.quantize && model::IsLinear(spec);
    if (is_ternary) ternary_.push_back(spec.name);
    // Frozen matrices are copied once; vectors are used in float32.
    if (is_ternary || (compute_type_ != at::kFloat && spec.shape.size() == 2))
      compute_[spec.name] = weights_[spec.name].to(compute_type_, false, true);
    if (!trains) continue;
    if (lora_.rank == 0) {
      if (!job.trainable || job.trainable(spec)) train(spec.name, !IsVector(spec));
    } else if (model::IsLinear(spec) && IsTarget(ModuleOf(spec.name))) {
      const std::string module = ModuleOf(spec.name);
      Factors& factors = factors_[module];
      factors.a = StartOfA(lora_.rank, spec.shape[1], module, lora_.seed).to(device);
      factors.b = at::zeros({spec.shape[0], lora_.rank}, factors.a.options());
      train(module + ".lora_A", true);
      train(module + ".lora_B", true);
    }
  }
  Refresh(0);
}

bool TunedWeights::IsTarget(const std::string& module) const {
  return std::any_of(lora_.targets.begin(), lora_.targets.end(),
                     [&](const std::string& target) { return module.ends_with("." + target); });
}

std::vector<AdamW::Group> TunedWeights::Groups() const {
  std::vector<AdamW::Group> groups;
  for (std::size_t i = 0; i < trained_.size(); ++i) {
    const std::string& name = trained_[i];
    const auto weight = weights_.find(name);
    at::Tensor parameter;
    if (weight != weights_.end())
      parameter = weight->second;
    else if (const Factors& factors = factors_.at(name.substr(0, name.rfind('.'))); name.ends_with("A"))
      parameter = factors.a;
    else
      parameter = factors.b;
    groups.push_back({name, parameter, decays_[i]});
  }
  return groups;
}

int TunedWeights::IndexOf(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? -1 : found->second;
}

void TunedWeights::MakeTernary(int step) {
  const double lambda = lambda_ = straight_through_.lambda(step);
  for (const std::string& name : ternary_) {
    const at::Tensor weight = weights_.at(name).to(at::kCPU).contiguous();
    at::Tensor used = weight;
    if (lambda != 0) {
      at::Tensor quantized = at::empty_like(weight);
      straight_through_.quantize(name, weight.const_data_ptr<float>(), weight.size(0), weight.size(1),
                                 quantized.mutable_data_ptr<float>());
      used = lambda == 1 ? quantized : quantized.sub_(weight).mul_(lambda).add_(weight);
    }
    compute_.at(name).copy_(used);
  }
}

void TunedWeights::Refresh(int step) {
  for (auto& [module, factors] : factors_) {
    factors.compute_a = factors.a.to(compute_type_);
    factors.compute_b = factors.b.to(compute_type_);
  }
  if (!ternary_.empty()) MakeTernary(step);
  if (compute_type_ == at::kFloat || lora_.rank > 0) return;
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;
  for (auto& [name, copy] : compute_)
    if (IndexOf(name) >= 0 && std::find(ternary_.begin(), ternary_.end(), name) == ternary_.end())
      copies.emplace_back(copy, weights_.at(name));
  ThreadPool::Global().Run(copies.size(), [&](std::size_t i) { copies[i].first.copy_(copies[i].second); });
}

const at::Tensor& TunedWeights::Compute(const std::string& name) const {
  const auto copy = compute_.find(name);
  return copy == compute_.end() ? weights_.at(name) : copy->second;
}

at::Tensor TunedWeights::Inputs(const at::Tensor& x) const {
  if (!straight_through_.int8_activations || lambda_ == 0) return x;
  const at::Tensor exact = x.to(at::kFloat);
  at::Tensor rounded = RoundToInt8(exact);
  if (lambda_ != 1) rounded.sub_(exact).mul_(lambda_).add_(exact);
  return rounded.to(x.scalar_type());
}

at::Tensor TunedWeights::Linear(const at::Tensor& given, const std::string& module) const {
  const at::Tensor x = Inputs(given);
  at::Tensor y = TimesTransposed(x, Compute(module + ".weight"));
  if (const auto bias = weights_.find(module + ".bias"); bias != weights_.end()) y.add_(bias->second);
  if (const auto found = factors_.find(module); found != factors_.end()) {
    const at::Tensor low = TimesTransposed(x, found->second.compute_a);
    y.add_(TimesTransposed(low, found->second.compute_b), lora_scale_);
  }
  return y;
}

at::Tensor TunedWeights::LinearBackward(const at::Tensor& given, const at::Tensor& dy,
                                        const std::string& module, const GradientSink& sink) const {
  const at::Tensor x = Inputs(given);
  const std::string weight = module + ".weight", bias = module + ".bias";
  at::Tensor dx = TimesTransposed(dy, Compute(weight).t());
  if (IndexOf(weight) >= 0) Give(weight, TimesTransposed(dy.t(), x.t()), sink);
  if (IndexOf(bias) >= 0) Give(bias, dy.sum(0, false, at::kFloat), sink);
  if (const auto found = factors_.find(module); found != factors_.end()) {
    const at::Tensor low = TimesTransposed(x, found->second.compute_a);  // [N, rank]
    const at::Tensor d_low = TimesTransposed(dy, found->second.compute_b.t()) * lora_scale_;
    Give(module + ".lora_A", TimesTransposed(d_low.t(), x.t()), sink);
    Give(module + ".lora_B", TimesTransposed(dy.t(), low.t()) * lora_scale_, sink);
    dx.add_(TimesTransposed(d_low, found->second.compute_a.t()));
  }
  return dx;
}

void TunedWeights::Give(const std::string& name, const at::Tensor& gradient, const GradientSink& sink) const {
  if (const int index = IndexOf(name); index >= 0)
    sink.sum->Add(static_cast<std::size_t>(index), sink.micro, gradient);
}

model::LoraAdapter TunedWeights::Adapter() const {
  model::LoraAdapter adapter{.rank = lora_.rank, .factors = {}, .replaced = {}};
  for (const auto& [module, factors] : factors_)
    adapter.factors[module + ".weight"] = {ToTensor(factors.a), ToTensor(factors.b), lora_scale_};
  return adapter;
}

void TunedWeights::CopyTo(model::ModelWeights& weights) const {
  for (const std::string& name : trained_) {
    const auto weight = weights_.find(name);
    if (weight == weights_.end() || weight->second.is_cpu()) continue;
    weights.at(name) = ToTensor(weight->second);
  }
}

}  // namespace forge::train

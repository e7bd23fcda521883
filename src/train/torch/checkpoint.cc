// SPDX-License-Identifier: Apache-2.0
#include "train/torch/checkpoint.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "base/philox.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"

namespace forge::train {
namespace {

// The hash in four floats of 16 bits each: safetensors holds tensors only.
std::vector<float> HashFloats(std::string_view text) {
  const std::uint64_t hash = StableHash(text);
  std::vector<float> values;
  for (int shift = 0; shift < 64; shift += 16) values.push_back(static_cast<float>(hash >> shift & 0xffff));
  return values;
}

}  // namespace

void SaveCheckpoint(const std::filesystem::path& path, std::string_view fingerprint, int finished_steps,
                    std::vector<AdamW::Group>& groups) {
  const c10::NoGradGuard no_gradient;
  std::vector<at::Tensor> kept;  // the copies that the spans below look at
  std::vector<io::NamedFloats> tensors;
  const auto add = [&](const std::string& name, const at::Tensor& tensor) {
    kept.push_back(tensor.detach().to(at::kCPU).contiguous());
    tensors.push_back({name,
                       kept.back().sizes().vec(),
                       {kept.back().const_data_ptr<float>(), static_cast<std::size_t>(kept.back().numel())}});
  };
  for (AdamW::Group& group : groups) {
    add("parameter/" + group.name, group.parameter);
    add("first_moment/" + group.name, group.first_moment);
    add("second_moment/" + group.name, group.second_moment);
  }
  const std::vector<float> hash = HashFloats(fingerprint), steps{static_cast<float>(finished_steps)};
  tensors.push_back({"fingerprint", {4}, hash});
  tensors.push_back({"finished_steps", {1}, steps});
  io::WriteSafetensors(path, std::move(tensors), io::FloatType::kF32);
}

std::optional<int> LoadCheckpoint(const std::filesystem::path& path, std::string_view fingerprint,
                                  std::vector<AdamW::Group>& groups) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  const c10::NoGradGuard no_gradient;
  const io::SafetensorsFile file(path);
  std::vector<float> hash(4), steps(1);
  if (file.Find("fingerprint") == nullptr || file.Find("finished_steps") == nullptr) return std::nullopt;
  file.ReadFloats("fingerprint", hash);
  file.ReadFloats("finished_steps", steps);
  if (hash != HashFloats(fingerprint)) return std::nullopt;
  const auto visit = [&](const auto& use) {
    for (AdamW::Group& group : groups) {
      if (!use("parameter/" + group.name, group.parameter)) return false;
      if (!use("first_moment/" + group.name, group.first_moment)) return false;
      if (!use("second_moment/" + group.name, group.second_moment)) return false;
    }
    return true;
  };
  const bool fits = visit([&](const std::string& name, const at::Tensor& tensor) {
    const io::SafetensorsFile::Entry* entry = file.Find(name);
    return entry != nullptr && entry->shape == tensor.sizes().vec();
  });
  if (!fits) return std::nullopt;
  visit([&](const std::string& name, at::Tensor& tensor) {
    at::Tensor values = at::empty(tensor.sizes(), at::kFloat);
    file.ReadFloats(name, {values.mutable_data_ptr<float>(), static_cast<std::size_t>(values.numel())});
    file.Release(file.Get(name).bytes);  // else the file counts beside what was read from it
    tensor.copy_(values);
    return true;
  });
  return static_cast<int>(steps[0]);
}

}  // namespace forge::train

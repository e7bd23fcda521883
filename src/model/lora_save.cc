// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "base/check.h"
#include "io/atomic_file.h"
#include "io/json_file.h"
#include "io/safetensors_writer.h"
#include "model/lora.h"

namespace forge::model {

void SaveLoraAdapter(const std::filesystem::path& folder, const LoraAdapter& adapter,
                     const std::string& base) {
  FORGE_CHECK(!adapter.factors.empty() && adapter.replaced.empty());
  const double scale = adapter.factors.begin()->second.scale;
  std::set<std::string> targets;
  std::vector<io::NamedFloats> tensors;
  for (const auto& [weight, factors] : adapter.factors) {
    FORGE_CHECK(factors.a.shape.at(0) == adapter.rank && factors.scale == scale);
    const std::string module = weight.substr(0, weight.size() - std::string_view(".weight").size());
    targets.insert(module.substr(module.rfind('.') + 1));
    tensors.push_back({"base_model.model." + module + ".lora_A.weight", factors.a.shape, factors.a.values});
    tensors.push_back({"base_model.model." + module + ".lora_B.weight", factors.b.shape, factors.b.values});
  }
  io::AtomicFolder staging(folder);
  io::WriteSafetensors(staging.path() / "adapter_model.safetensors", std::move(tensors), io::FloatType::kF32);
  // The fields that decide what PEFT computes; it fills in the others with its defaults.
  io::WriteJsonFile(staging.path() / "adapter_config.json", {{"peft_type", "LORA"},
                                                             {"task_type", "CAUSAL_LM"},
                                                             {"base_model_name_or_path", base},
                                                             {"r", adapter.rank},
                                                             {"lora_alpha", scale * adapter.rank},
                                                             {"lora_dropout", 0.0},
                                                             {"use_rslora", false},
                                                             {"bias", "none"},
                                                             {"fan_in_fan_out", false},
                                                             {"init_lora_weights", true},
                                                             {"inference_mode", true},
                                                             {"modules_to_save", nullptr},
                                                             {"target_modules", targets}});
  staging.Commit();
}

}  // namespace forge::model

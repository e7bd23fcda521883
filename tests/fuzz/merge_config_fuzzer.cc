// SPDX-License-Identifier: Apache-2.0
#include "merge/merge_config.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return forge::fuzz::Expect([&] {
    for (const forge::merge::MergeConfig& config :
         forge::merge::ParseMergeConfigs(std::string(forge::fuzz::Text(data, size)), "input")) {
      FORGE_CHECK(config.method != nullptr && !config.slices.empty());
      FORGE_CHECK(!forge::merge::ModelsOf(config).empty());
      for (const auto& [name, setting] : config.parameters)
        for (const double t : {0.0, 1.0 / 3, 1.0}) forge::merge::Resolve(setting, "model.norm.weight", t);
    }
  });
}

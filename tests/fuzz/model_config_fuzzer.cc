// SPDX-License-Identifier: Apache-2.0
#include "io/json_file.h"
#include "model/model_folder.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return forge::fuzz::Expect([&] {
    const forge::fuzz::InputFile input(forge::fuzz::Text(data, size));
    forge::model::ListTensors(forge::model::ParseModelConfig(
        forge::io::ReadJsonFile(input.path(), forge::io::kConfigLimits), "input"));
  });
}

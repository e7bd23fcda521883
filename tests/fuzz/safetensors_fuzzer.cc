// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return forge::fuzz::Expect([&] {
    const forge::fuzz::InputFile input(forge::fuzz::Text(data, size));
    const forge::io::SafetensorsFile file(input.path());
    for (const auto& entry : file.entries()) {
      std::vector<float> values(entry.size());
      file.ReadFloats(entry, values);
    }
  });
}

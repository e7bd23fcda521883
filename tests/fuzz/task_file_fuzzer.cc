// SPDX-License-Identifier: Apache-2.0
#include "eval/task_file.h"
#include "io/config_file.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return forge::fuzz::Expect([&] {
    forge::eval::ParseTask(forge::io::ParseYaml(std::string(forge::fuzz::Text(data, size)), "input"),
                           "input");
  });
}

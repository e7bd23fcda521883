// SPDX-License-Identifier: Apache-2.0
#include "model/gguf_model.h"
#include "tests/fuzz/fuzz_input.h"
#include "text/gguf_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const forge::fuzz::InputFile input(forge::fuzz::Text(data, size));
  forge::fuzz::Expect([&] { forge::model::LoadGguf(input.path()); });
  return forge::fuzz::Expect([&] {
    const forge::io::GgufFile file(input.path());
    forge::text::ReadGgufTokenizer(file.metadata(), input.path());
  });
}

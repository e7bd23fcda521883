// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzz_input.h"
#include "text/tokenizer.h"
#include "text/tokenizer_json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return forge::fuzz::Expect([&] {
    const forge::fuzz::InputFile input(forge::fuzz::Text(data, size));
    const forge::text::Tokenizer tokenizer(forge::text::ReadTokenizerJson(input.path()));
    tokenizer.Decode(tokenizer.Encode("It's 12 naïve words\n\n\xff<|im_end|>", true), false);
  });
}

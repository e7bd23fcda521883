// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzz_input.h"
#include "text/sentencepiece_model.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return forge::fuzz::Expect([&] {
    const forge::text::Tokenizer tokenizer(
        forge::text::ParseSentencePieceModel(forge::fuzz::Text(data, size), "input"));
    tokenizer.Decode(tokenizer.Encode("It's 12 naïve words\n\n\xff</s>", true), false);
  });
}

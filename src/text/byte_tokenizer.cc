// SPDX-License-Identifier: Apache-2.0
#include "text/byte_tokenizer.h"

#include "text/byte_alphabet.h"
#include "text/tokenizer_config.h"
#include "text/tokenizer_json.h"

namespace forge::text {

TokenizerData MakeByteTokenizer() {
  TokenizerData data;
  for (int byte = 0; byte < 256; ++byte) data.tokens.push_back(SpellByte(static_cast<unsigned char>(byte)));
  data.types.assign(data.tokens.size(), TokenType::kNormal);
  for (const char* special : {"<|endoftext|>", "<|startofthought|>", "<|endofthought|>"}) {
    data.tokens.push_back(special);
    data.types.push_back(TokenType::kControl);
  }
  data.eos = data.pad = kByteEndOfText;
  return data;
}

io::Json MakeByteTokenizerJson() { return ToTokenizerJson(MakeByteTokenizer()); }

io::Json MakeByteTokenizerConfigJson(int model_max_length) {
  return ToTokenizerConfigJson(MakeByteTokenizer(), model_max_length);
}

}  // namespace forge::text

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/json_file.h"
#include "text/tokenizer_data.h"

namespace forge::text {

inline constexpr int kByteEndOfText = 256;       // <|endoftext|>
inline constexpr int kByteStartOfThought = 257;  // <|startofthought|>
inline constexpr int kByteEndOfThought = 258;    // <|endofthought|>
inline constexpr int kByteVocabSize = 259;

/// The tokenizer of models that forge trains from nothing: the id of a byte is its value, no merges, and
/// three special tokens above. A standard byte-level BPE, so that every other program reads it too.
TokenizerData MakeByteTokenizer();
/// Its tokenizer.json and tokenizer_config.json.
io::Json MakeByteTokenizerJson();
io::Json MakeByteTokenizerConfigJson(int model_max_length = 2048);

}  // namespace forge::text

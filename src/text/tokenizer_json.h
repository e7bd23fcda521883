// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "io/json_file.h"
#include "text/tokenizer_data.h"

namespace forge::text {

/// tokenizer.json of Hugging Face tokenizers (and tokenizer_config.json, chat_template.jinja beside it) as
/// data. Reads BPE with the pre-tokenizers ByteLevel, Digits and Split (Isolated) and no normalizer or NFC;
/// anything else that would change the ids is Error(kInput).
TokenizerData ReadTokenizerJson(const std::filesystem::path& path);
TokenizerData ParseTokenizerJson(const io::Json& json, const std::string& source);

/// A tokenizer.json that Hugging Face tokenizers loads, with the same ids.
io::Json ToTokenizerJson(const TokenizerData& data);
/// The tokenizer_config.json that belongs to it.
io::Json ToTokenizerConfigJson(const TokenizerData& data, int model_max_length);

}  // namespace forge::text

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>

#include "io/gguf.h"
#include "text/tokenizer.h"

namespace forge::text {

/// The tokenizer.* keys of a GGUF file as data: model gpt2 (byte-level BPE) with the pre-tokenizers gpt-2,
/// smollm, qwen2 and llama-bpe. Anything else, SentencePiece too, is Error(kInput), naming `source`.
TokenizerData ReadGgufTokenizer(const io::GgufMetadata& metadata, const std::string& source);

/// The keys for a GGUF file whose embedding has `vocab_size` rows; ids beyond the tokenizer become "[PADn]",
/// unused. Throws Error(kInput) if the tokenizer has more tokens than that, or a pre-tokenizer that GGUF has
/// no name for.
io::GgufMetadata ToGgufMetadata(const TokenizerData& data, int vocab_size);

/// The tokenizer of a model: of its tokenizer.json if `path` is a folder or that file, else of the GGUF file
/// `path`.
std::unique_ptr<Tokenizer> LoadTokenizer(const std::filesystem::path& path);

/// Writes tokenizer.json and tokenizer_config.json of a tokenizer, whatever it was read from, into `folder`.
void SaveTokenizer(const std::filesystem::path& folder, const TokenizerData& data, int model_max_length);

}  // namespace forge::text

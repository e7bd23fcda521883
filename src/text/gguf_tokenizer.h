// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/gguf.h"
#include "text/load_tokenizer.h"
#include "text/tokenizer.h"

namespace forge::text {

/// The tokenizer.* keys of a GGUF file as data, as llama.cpp reads them: model gpt2 (byte-level BPE) with the
/// pre-tokenizers gpt-2, smollm, qwen2 and llama-bpe, or model llama (SentencePiece BPE by scores). Anything
/// else is Error(kInput), naming `source`.
TokenizerData ReadGgufTokenizer(const io::GgufMetadata& metadata, const std::string& source);

/// The keys for a GGUF file whose embedding has `vocab_size` rows; ids beyond the tokenizer become "[PADn]",
/// unused. Throws Error(kInput) if the tokenizer has more tokens than that, or what GGUF has no key for:
/// another pre-tokenizer, merges that no scores give, other tokens around a text than bos and eos.
///
/// llama.cpp puts a space before every stretch of text, so a tokenizer that puts one only at the start of the
/// text, or only where there is none (Metaspace), gets one more there than before. It leaves runs of spaces
/// as they are whatever remove_extra_whitespaces says, and NFC has no key.
io::GgufMetadata ToGgufMetadata(const TokenizerData& data, int vocab_size);

}  // namespace forge::text

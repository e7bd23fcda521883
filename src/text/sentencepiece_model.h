// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string_view>

#include "text/tokenizer_data.h"

namespace forge::text {

/// A tokenizer.model of SentencePiece (sentencepiece_model.proto) as data: BPE models with any or no byte
/// fallback, dummy prefix, removal of extra spaces, user-defined, unused and byte pieces. Refused by name
/// with Error(kInput): unigram, word and character models, a precompiled normalization (nmt_nfkc and its
/// like), spaces after words. Every length is checked against the file; errors give the offset.
///
/// The template is Llama's: bos in front (ReadSentencePieceModel lets add_bos_token and add_eos_token of a
/// tokenizer_config.json beside the file say otherwise, and takes pad and the chat template from there).
TokenizerData ParseSentencePieceModel(std::string_view bytes, const std::string& source);
TokenizerData ReadSentencePieceModel(const std::filesystem::path& path);

}  // namespace forge::text

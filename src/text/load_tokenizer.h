// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>

#include "text/tokenizer.h"

namespace forge::text {

/// The tokenizer of a model. `path` is
///   a folder             its tokenizer.json, else its tokenizer.model, else its vocab.json and merges.txt
///   x.json, x.model      a tokenizer.json or SentencePiece's tokenizer.model
///   another file         a GGUF file, or a packed file (io/section_file.h), which has the same keys
/// bos, eos, pad and the chat template come from a tokenizer_config.json beside it. Throws Error(kInput) if
/// the file cannot be read or is of a kind forge does not know. Takes about 15 ms for each MB of
/// tokenizer.json.
std::unique_ptr<Tokenizer> LoadTokenizer(const std::filesystem::path& path);

/// Writes tokenizer.json and tokenizer_config.json of a tokenizer, whatever it was read from, into `folder`.
void SaveTokenizer(const std::filesystem::path& folder, const TokenizerData& data, int model_max_length);

}  // namespace forge::text

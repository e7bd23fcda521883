// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "text/tokenizer_data.h"

namespace forge::text {

/// True for a folder with vocab.json and merges.txt, the files of GPT-2 (openai/gpt-2, encoder.py).
bool IsGpt2Folder(const std::filesystem::path& folder);

/// These two files as data: GPT-2's pattern, "<|endoftext|>" as a control token. They do not say how text is
/// split, so Error(kInput) if a tokenizer_config.json beside them names another class than GPT2Tokenizer.
TokenizerData ReadGpt2Folder(const std::filesystem::path& folder);

}  // namespace forge::text

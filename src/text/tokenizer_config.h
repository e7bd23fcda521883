// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "io/json_file.h"
#include "text/tokenizer_data.h"

namespace forge::text {

/// Sets bos, eos, pad and the chat template from a tokenizer_config.json or chat_template.jinja in `folder`;
/// without these files nothing changes. Throws Error(kInput) if one cannot be read.
void ReadTokenizerConfig(const std::filesystem::path& folder, TokenizerData& data);

/// The tokenizer_config.json of a tokenizer.
io::Json ToTokenizerConfigJson(const TokenizerData& data, int model_max_length);

}  // namespace forge::text

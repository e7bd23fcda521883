// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

namespace forge::pipeline {

/// sha256 over the files of a model as ResolveModel names it: weights, config, tokenizer; of BASE+ADAPTER
/// over those of all parts. Equal for a copy elsewhere; other for any other byte. Reads every file once.
std::string ModelHash(const std::filesystem::path& path);

}  // namespace forge::pipeline

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "io/json_file.h"
#include "merge/config_problems.h"

namespace forge::merge {

/// A model as a config names it, "path[@revision][+adapter]", or the same taken apart as
/// {model: path | {path, revision}, lora: path | {path, revision}}, in the form of the text. Notes what is
/// neither, and returns an empty text.
std::string ReadModelName(const io::Json& json, const std::string& path, ConfigProblems& problems);

/// What is before the first "+".
std::string WithoutAdapter(const std::string& model);

}  // namespace forge::merge

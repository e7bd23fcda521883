// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "text/jinja/value.h"

namespace forge::text::jinja {

/// What differs between users of the engine; the default is chat templates as transformers renders them.
struct Dialect {
  std::string what = "the chat template";  // in messages
  std::string fix = "compare the template with the one that the model was published with";
  std::string use = "check that the conversation is one that the template allows (roles, their order, tools)";
  bool trims_blocks = true;         // Jinja's trim_blocks and lstrip_blocks
  bool keeps_last_newline = false;  // Jinja's keep_trailing_newline
  bool is_strict = false;           // Jinja's StrictUndefined: what is not defined cannot be printed
  /// Filters beside the built-in ones; the first argument is the value before the |.
  std::map<std::string, Function> filters = {};
};

}  // namespace forge::text::jinja

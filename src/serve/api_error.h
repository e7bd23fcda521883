// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "io/json_file.h"

namespace forge::serve {

/// A refusal as OpenAI's API gives it: {"error": {"message", "type", "param", "code"}} with an HTTP status.
struct ApiError {
  int status = 400;
  std::string message;  // what is wrong with which value, and what would be right
  std::string type = "invalid_request_error";
  std::string param;  // the field; empty: none
  std::string code;   // a word for programs; empty: none
};

io::Json ToJson(const ApiError& error);

}  // namespace forge::serve

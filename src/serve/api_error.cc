// SPDX-License-Identifier: Apache-2.0
#include "serve/api_error.h"

namespace forge::serve {
namespace {

io::Json OrNull(const std::string& text) { return text.empty() ? io::Json() : io::Json(text); }

}  // namespace

io::Json ToJson(const ApiError& error) {
  return {{"error",
           {{"message", error.message},
            {"type", error.type},
            {"param", OrNull(error.param)},
            {"code", OrNull(error.code)}}}};
}

}  // namespace forge::serve

// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

namespace forge {

Error::Error(Fields fields) : fields_(std::move(fields)) {
  text_ = "error: " + fields_.what;
  if (!fields_.why.empty()) text_ += "\n  why: " + fields_.why;
  if (!fields_.fix.empty()) text_ += "\n  fix: " + fields_.fix;
}

}  // namespace forge

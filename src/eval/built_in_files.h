// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace forge::eval {

/// A file of src/eval/tasks; embed_tasks.cmake writes the table at build time, sorted by name.
struct BuiltInFile {
  const char* name;  // without .yaml
  const char* text;
  std::size_t size;
};
extern const BuiltInFile kBuiltInFiles[];
extern const std::size_t kBuiltInFileCount;

}  // namespace forge::eval

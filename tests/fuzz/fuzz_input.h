// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/error.h"

namespace forge::fuzz {

/// Bytes as a file that lives in memory, for parsers that map what they read.
class InputFile {
 public:
  explicit InputFile(std::string_view bytes) : descriptor_(memfd_create("fuzz", 0)) {
    FORGE_CHECK(descriptor_ >= 0);
    FORGE_CHECK(write(descriptor_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  }
  ~InputFile() { close(descriptor_); }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

inline std::string_view Text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// Runs a parser. An Error is an answer, as long as it says what, why and how to mend it.
template <class Parse>
int Expect(Parse&& parse) {
  try {
    parse();
  } catch (const Error& error) {
    FORGE_CHECK(!error.fields().what.empty() && !error.fields().why.empty() && !error.fields().fix.empty());
  }
  return 0;
}

}  // namespace forge::fuzz

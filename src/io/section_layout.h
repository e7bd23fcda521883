// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

#include "base/thread_pool.h"

/// What reader and writer of section files (section_file.h) share.
namespace forge::io {

inline std::uint64_t Padded(std::uint64_t size, std::uint64_t alignment) {
  return (size + alignment - 1) / alignment * alignment;
}

/// work(i) for each of `sections` sections of `bytes` bytes in all: on the global thread pool where that is
/// worth waking threads. A thread of it that has summed leaves memory of OpenSSL behind at the program's end,
/// which leak checkers see.
inline void ForEachSection(std::size_t sections, std::uint64_t bytes,
                           const std::function<void(std::size_t)>& work) {
  constexpr std::uint64_t kWorthSharing = 1 << 20;
  if (bytes >= kWorthSharing) return ThreadPool::Global().Run(sections, work);
  for (std::size_t i = 0; i < sections; ++i) work(i);
}

}  // namespace forge::io

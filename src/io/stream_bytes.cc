// SPDX-License-Identifier: Apache-2.0
#include "io/stream_bytes.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace forge::io {

void StreamBytes(std::byte* to, const std::byte* from, std::size_t size) {
  if (size == 0) return;
  std::size_t done = 0;
#if defined(__x86_64__)
  constexpr std::size_t kLine = 64, kStore = sizeof(__m128i);
  done = std::min(size, -reinterpret_cast<std::uintptr_t>(to) % kLine);
  std::memcpy(to, from, done);
  for (; done + kLine <= size; done += kLine)  // whole lines leave together
    for (std::size_t part = 0; part < kLine; part += kStore)
      _mm_stream_si128(reinterpret_cast<__m128i*>(to + done + part),
                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + done + part)));
  _mm_sfence();  // before another thread hands the buffer on
#endif
  std::memcpy(to + done, from + done, size - done);
}

}  // namespace forge::io

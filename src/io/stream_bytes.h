// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace forge::io {

/// Copies bytes past the caches of this core where it can: for buffers that are next read by a device. A
/// cached copy would first read what it overwrites, and push out what is still needed. Any addresses; the
/// ranges do not overlap.
void StreamBytes(std::byte* to, const std::byte* from, std::size_t size);

}  // namespace forge::io

// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace forge {

/// Gives memory that is free, but kept by the allocator for later, back to the system: between stages that
/// need much of it in blocks of other sizes. Costs some milliseconds a gigabyte.
void ReturnFreeMemory();

}  // namespace forge

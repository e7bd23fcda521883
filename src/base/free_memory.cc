// SPDX-License-Identifier: Apache-2.0
#include "base/free_memory.h"

#include <malloc.h>

namespace forge {

void ReturnFreeMemory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace forge

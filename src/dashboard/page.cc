// SPDX-License-Identifier: Apache-2.0
#include "dashboard/page.h"

#include <cstddef>

namespace forge::dashboard {

extern const unsigned char kPageBytes[];  // page_bytes.cc, made by cmake/embed_page.cmake
extern const std::size_t kPageSize;

std::string_view PageSource() { return {reinterpret_cast<const char*>(kPageBytes), kPageSize}; }

}  // namespace forge::dashboard

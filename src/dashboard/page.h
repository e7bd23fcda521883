// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace forge::dashboard {

/// web/dashboard.html as it was built in; http/page.h fills in its nonce.
std::string_view PageSource();

}  // namespace forge::dashboard

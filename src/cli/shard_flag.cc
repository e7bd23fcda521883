// SPDX-License-Identifier: Apache-2.0
#include "cli/shard_flag.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace forge::cli {

void ShardFlag::AddTo(FlagSet& flags) {
  flags.AddNumber("--max-shard-gb", gb_,
                  "A folder's weights are cut into files of at most this many 10^9 bytes.");
}

void ShardFlag::Check() const {
  if (gb_ > 0) return;
  throw Error({.kind = ErrorKind::kUsage,
               .what = fmt::format("cannot cut weights into files of {} GB", gb_),
               .why = "--max-shard-gb must be above 0",
               .fix = "leave it out for 5"});
}

std::uint64_t ShardFlag::bytes() const { return static_cast<std::uint64_t>(std::min(gb_ * 1e9, 9e18)); }

}  // namespace forge::cli

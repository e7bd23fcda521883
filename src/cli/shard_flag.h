// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cli/flag_set.h"

namespace forge::cli {

/// --max-shard-gb of commands that write a model folder.
class ShardFlag {
 public:
  void AddTo(FlagSet& flags);
  /// Throws Error(kUsage) unless it is above 0.
  void Check() const;
  std::uint64_t bytes() const;

 private:
  double gb_ = 5;
};

}  // namespace forge::cli

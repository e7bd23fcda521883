// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "io/json_file.h"

namespace forge::jobs {

/// A piece of work that any worker can do: its result is a function of `what` and of what all workers of a
/// run have in common (Identity), so that it does not matter who does it, when, or how often.
struct Job {
  std::string key;  // unique in a stage of a run; equal keys are the same job
  io::Json what;    // an object, at most kMostBytes as text
  static constexpr std::size_t kMostBytes = 1 << 20;
};

struct JobResult {
  std::string key;
  io::Json value;      // an object
  std::string worker;  // who did it
  double seconds = 0;  // that it took there
};

/// What coordinator and workers must have in common for a job to mean the same to all of them.
struct Identity {
  std::string version;  // of forge
  std::string inputs;   // a hash of settings, models and items
  bool operator==(const Identity&) const = default;
};

}  // namespace forge::jobs

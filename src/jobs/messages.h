// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/error.h"
#include "jobs/job.h"

namespace forge::jobs {

/// What coordinator and workers say to each other, whatever carries it: a text of one JSON object with a
/// "kind", in files (mailbox.h) or between MPI ranks (rank_ports.h):
///   {"kind":"result","key":"genome 12 on train","value":{"score":0.5},"seconds":3.25}
/// Fields that are not known are ignored, so that a worker of another version can still be told why it is
/// turned away.

// From a worker.
struct Hello {
  Identity identity;
  std::string host;
  std::int64_t pid = 0;
  std::string process;  // track::ProcessId, by which a coordinator on the same machine sees that it is dead
  int threads = 1;
};
struct Heartbeat {};
struct Result {
  std::string key;
  io::Json value;      // an object
  double seconds = 0;  // finite, 0 or more
};
/// The job cannot be done, here or by any other worker.
struct Failure {
  std::string key;
  Error::Fields error;
};
/// It leaves; what it has in hand is for others. `reason` has a `what` only if something is wrong there.
struct Goodbye {
  Error::Fields reason;
};
using FromWorker = std::variant<Hello, Heartbeat, Result, Failure, Goodbye>;

// To a worker; a Job is a message as it is.
struct Refusal {
  Error::Fields reason;
};
struct Stop {
  std::string reason;
};
/// A coordinator is there.
struct Presence {};
using ToWorker = std::variant<Job, Refusal, Stop, Presence>;

inline constexpr std::size_t kMostKeyBytes = 1000;
inline constexpr std::size_t kMostMessageBytes = 16
                                                 << 20;  // a result with a number for each of a million items

/// Bytes that are no UTF-8 are replaced.
std::string Encode(const FromWorker& message);
std::string Encode(const ToWorker& message);

/// The inverse. Error(kInput) names `source` and the first thing that is wrong with a text that is no such
/// message: too long, no JSON, a field that is missing, of another type or out of range.
FromWorker ParseFromWorker(std::string_view text, const std::string& source);
ToWorker ParseToWorker(std::string_view text, const std::string& source);

}  // namespace forge::jobs

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace forge::track {

/// Names a process so that a later process on the same machine is not taken for it: boot id, pid namespace,
/// pid and start time of the process in clock ticks since boot, joined by ':'.
std::string ProcessId(std::int64_t pid);
/// ProcessId of this process.
std::string OwnProcessId();

enum class Liveness { kAlive, kDead, kUnknown };
/// kUnknown for a process of another machine, boot or container: only its heartbeat can tell.
Liveness LivenessOf(const std::string& process_id);

}  // namespace forge::track

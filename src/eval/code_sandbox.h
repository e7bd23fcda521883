// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace forge::eval {

/// What a program may use up. Each is enforced from outside the program.
struct SandboxLimits {
  double seconds = 10;               // wall clock; then everything in the sandbox is killed
  std::uint64_t memory_mib = 512;    // address space of a process
  int processes = 8;                 // and threads, all together
  std::uint64_t scratch_mib = 16;    // of /tmp, the only place it can write to
  std::size_t output_bytes = 65536;  // of standard output and error together; the rest is thrown away
};

struct SandboxResult {
  bool has_passed = false;  // ended by itself with status 0
  bool is_timeout = false;
  int status = 0;  // exit status, or 128 + the signal
  std::string output;
  double seconds = 0;
};

/// Runs Python programs that a model wrote, in bubblewrap: own user, process, network, IPC and host name
/// spaces; no network; of the file system only /usr, read-only, and an empty /tmp in memory; no capabilities;
/// an empty environment; no standard input. Needs Linux with user namespaces, /usr/bin/bwrap,
/// /usr/bin/prlimit and /usr/bin/python3.
class CodeSandbox {
 public:
  /// Throws Error(kEnvironment), saying what to install or allow, unless a program that prints a word runs.
  CodeSandbox();
  SandboxResult Run(const std::string& program, const SandboxLimits& limits = {}) const;
};

}  // namespace forge::eval

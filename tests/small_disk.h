// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

namespace forge::testing {

/// For tests that mount a small tmpfs to fill it: gives this process mounts of its own, which end with it.
/// Why it may not have them; empty if it does. Asked for once.
inline const std::string& EnterMountNamespace() {
  static const auto write = [](const char* path, const std::string& text) { std::ofstream(path) << text; };
  static const std::string problem = []() -> std::string {
    const uid_t user = geteuid();
    const gid_t group = getegid();
    if (unshare(user == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) != 0) return std::strerror(errno);
    if (user != 0) {
      write("/proc/self/setgroups", "deny");
      write("/proc/self/uid_map", "0 " + std::to_string(user) + " 1");
      write("/proc/self/gid_map", "0 " + std::to_string(group) + " 1");
    }
    if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return std::strerror(errno);
    return "";
  }();
  return problem;
}

}  // namespace forge::testing

// SPDX-License-Identifier: Apache-2.0
#include "track/process_id.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace forge::track {
namespace {

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string Namespace() {
  std::error_code error;
  const std::string target = std::filesystem::read_symlink("/proc/self/ns/pid", error).string();
  return error ? "?" : target.substr(target.find('[') + 1, target.find(']') - target.find('[') - 1);
}

const std::string& MachinePart() {
  static const std::string part = FirstLine("/proc/sys/kernel/random/boot_id") + ":" + Namespace();
  return part;
}

/// Field 22 of /proc/<pid>/stat; empty when there is no such process or it is a zombie.
/// Fields are counted after the last ')', because the name of a program may hold spaces and brackets.
std::string StartTime(std::int64_t pid) {
  const std::string stat = FirstLine(fmt::format("/proc/{}/stat", pid));
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= stat.size() || stat[name_end + 2] == 'Z') return {};
  std::size_t start = name_end + 2;
  for (int field = 3; field < 22 && start != std::string::npos; ++field) {
    start = stat.find(' ', start);
    if (start != std::string::npos) ++start;
  }
  return start == std::string::npos ? std::string() : stat.substr(start, stat.find(' ', start) - start);
}

}  // namespace

std::string ProcessId(std::int64_t pid) {
  return fmt::format("{}:{}:{}", MachinePart(), pid, StartTime(pid));
}

std::string OwnProcessId() { return ProcessId(getpid()); }

Liveness LivenessOf(const std::string& process_id) {
  const std::string prefix = MachinePart() + ":";
  if (process_id.compare(0, prefix.size(), prefix) != 0) return Liveness::kUnknown;
  const std::int64_t pid = std::strtoll(process_id.c_str() + prefix.size(), nullptr, 10);
  return !StartTime(pid).empty() && ProcessId(pid) == process_id ? Liveness::kAlive : Liveness::kDead;
}

}  // namespace forge::track

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "io/atomic_file.h"

/// For tests only: the built program as a child, with what it used.
namespace forge::testing {

struct Outcome {
  int code = 0;  // minus the signal if one ended it
  std::string out, err;
  double cpu_seconds = 0;        // user and system; wall time would depend on what else runs
  std::uint64_t peak_bytes = 0;  // largest resident set
};

/// Runs FORGE_PROGRAM with these arguments; its output goes through files in `folder`. Ended after a minute.
inline Outcome RunProgram(std::vector<std::string> arguments, const std::filesystem::path& folder) {
  const std::filesystem::path out = folder / "stdout", err = folder / "stderr";
  arguments.insert(arguments.begin(), FORGE_PROGRAM);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const auto redirect = [](const std::filesystem::path& path, int descriptor) {
    const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || dup2(file, descriptor) < 0) _exit(126);
  };
  const pid_t pid = fork();
  if (pid == 0) {
    redirect(out, STDOUT_FILENO);
    redirect(err, STDERR_FILENO);
    alarm(60);  // kept over exec
    execv(FORGE_PROGRAM, pointers.data());
    _exit(127);
  }
  int status = 0;
  rusage usage{};
  wait4(pid, &status, 0, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return {.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status),
          .out = io::ReadFile(out),
          .err = io::ReadFile(err),
          .cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime),
          .peak_bytes = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024};
}

}  // namespace forge::testing

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "io/atomic_file.h"

/// For tests only: the built program as a child, with what it used.
namespace forge::testing {

inline constexpr int kProgramSeconds = 60;  // then a program that hangs is killed

struct Outcome {
  int code = 0;  // minus the signal if one ended it
  std::string out, err;
  double cpu_seconds = 0;        // user and system; wall time would depend on what else runs
  std::uint64_t peak_bytes = 0;  // largest resident set
};

/// FORGE_PROGRAM, started with these arguments. Its standard input, output and error are files in `folder`.
class Program {
 public:
  Program(std::vector<std::string> arguments, const std::filesystem::path& folder,
          const std::string& input = "", int seconds = kProgramSeconds)
      : out_(folder / "stdout"), err_(folder / "stderr") {
    const std::filesystem::path in = folder / "stdin";
    std::ofstream(in) << input;
    std::ofstream(out_).close();
    arguments.insert(arguments.begin(), FORGE_PROGRAM);
    std::vector<char*> pointers;
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    pid_ = fork();
    if (pid_ != 0) return;
    Redirect(in, O_RDONLY, STDIN_FILENO);
    Redirect(out_, O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
    Redirect(err_, O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
    alarm(static_cast<unsigned>(seconds));  // kept over exec
    execv(FORGE_PROGRAM, pointers.data());
    _exit(127);
  }

  Outcome Wait() {
    int status = 0;
    rusage usage{};
    wait4(pid_, &status, 0, &usage);
    const auto seconds = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return {.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status),
            .out = out(),
            .err = io::ReadFile(err_),
            .cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime),
            .peak_bytes = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024};
  }
  pid_t pid() const { return pid_; }
  /// What it has written so far.
  std::string out() const { return io::ReadFile(out_); }

 private:
  static void Redirect(const std::filesystem::path& path, int flags, int descriptor) {
    const int file = open(path.c_str(), flags, 0600);
    if (file < 0 || dup2(file, descriptor) < 0) _exit(126);
  }
  std::filesystem::path out_, err_;
  pid_t pid_ = -1;
};

inline Outcome RunProgram(std::vector<std::string> arguments, const std::filesystem::path& folder,
                          const std::string& input = "", int seconds = kProgramSeconds) {
  return Program(std::move(arguments), folder, input, seconds).Wait();
}

}  // namespace forge::testing

// SPDX-License-Identifier: Apache-2.0
#include "eval/code_sandbox.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <vector>

#include "base/descriptor.h"
#include "base/error.h"

namespace forge::eval {
namespace {

constexpr char kBubblewrap[] = "/usr/bin/bwrap";
constexpr char kPrlimit[] = "/usr/bin/prlimit";
constexpr char kPython[] = "/usr/bin/python3";
constexpr int kProgramFd = 3;  // in the child; bwrap reads the program from it
constexpr unsigned kNobody = 65534;
constexpr int kCannotStart = 126;  // of the child, when bwrap could not be run

[[noreturn]] void ThrowUnusable(const std::string& why, const std::string& fix) {
  throw Error({.kind = ErrorKind::kEnvironment,
               .what = "cannot run programs that a model wrote: there is no sandbox",
               .why = why,
               .fix = fix});
}

/// The program as a file in memory, which bwrap copies into the sandbox.
int WriteToMemory(const std::string& program) {
  const int file = memfd_create("program", 0);
  for (std::size_t at = 0; file >= 0 && at < program.size();) {
    const ssize_t count = write(file, program.data() + at, program.size() - at);
    if (count <= 0 && errno != EINTR) ThrowUnusable("the program does not fit in memory", "free some memory");
    if (count > 0) at += static_cast<std::size_t>(count);
  }
  if (file < 0 || lseek(file, 0, SEEK_SET) != 0)
    ThrowUnusable(std::string("memfd_create fails: ") + std::strerror(errno), "use Linux 3.17 or newer");
  return file;
}

std::vector<std::string> BubblewrapCommand(const SandboxLimits& limits) {
  std::vector<std::string> command{kBubblewrap,
                                   "--unshare-all",
                                   "--die-with-parent",
                                   "--new-session",
                                   "--hostname",
                                   "sandbox",
                                   "--cap-drop",
                                   "ALL",
                                   "--clearenv",
                                   "--setenv",
                                   "PATH",
                                   "/usr/bin",
                                   "--setenv",
                                   "HOME",
                                   "/tmp",
                                   "--setenv",
                                   "PYTHONHASHSEED",
                                   "0",
                                   "--ro-bind",
                                   "/usr",
                                   "/usr"};
  for (const char* name : {"bin", "lib", "lib64"})
    command.insert(command.end(), {"--symlink", std::string("usr/") + name, std::string("/") + name});
  command.insert(command.end(),
                 {"--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev", "--size",
                  std::to_string(limits.scratch_mib << 20), "--tmpfs", "/tmp", "--ro-bind-data",
                  std::to_string(kProgramFd), "/program.py", "--remount-ro", "/", "--chdir", "/tmp", "--",
                  // Only inside the new user namespace: there the count is of the sandbox alone.
                  kPrlimit, fmt::format("--nproc={}", limits.processes), "--",
                  // -I: no user site, no environment; -B: nothing is written beside the program.
                  kPython, "-I", "-B", "/program.py"});
  return command;
}

void Limit(int resource, std::uint64_t value) {
  const rlimit limit{value, value};
  setrlimit(static_cast<__rlimit_resource>(resource), &limit);
}

/// The child between fork and exec: only calls that are safe there.
[[noreturn]] void BecomeBubblewrap(char* const* arguments, int program, int output,
                                   const SandboxLimits& limits) {
  setpgid(0, 0);
  // A process limit does not bind root, not even inside a namespace: become nobody first.
  if (geteuid() == 0 && (setgroups(0, nullptr) != 0 || setresgid(kNobody, kNobody, kNobody) != 0 ||
                         setresuid(kNobody, kNobody, kNobody) != 0))
    _exit(kCannotStart);
  const int nothing = open("/dev/null", O_RDONLY);
  if (nothing < 0 || chdir("/") != 0) _exit(kCannotStart);
  dup2(nothing, 0);
  dup2(output, 1);
  dup2(output, 2);
  dup2(program, kProgramFd);
  closefrom(kProgramFd + 1);
  Limit(RLIMIT_AS, limits.memory_mib << 20);
  Limit(RLIMIT_CPU, static_cast<std::uint64_t>(limits.seconds) + 1);
  Limit(RLIMIT_FSIZE, limits.scratch_mib << 20);
  Limit(RLIMIT_CORE, 0);
  Limit(RLIMIT_NOFILE, 64);
  execv(kBubblewrap, arguments);
  _exit(kCannotStart);
}

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Reads what the sandbox prints until it ends or its time is over; true in the second case.
bool Collect(int output, const SandboxLimits& limits, std::chrono::steady_clock::time_point start,
             std::string& text) {
  char buffer[4096];
  for (;;) {
    const double left = limits.seconds - SecondsSince(start);
    if (left <= 0) return true;
    pollfd waiting{output, POLLIN, 0};
    const int ready = poll(&waiting, 1, static_cast<int>(left * 1000) + 1);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return true;
    const ssize_t count = read(output, buffer, sizeof buffer);
    if (count <= 0) return false;  // every process that could print is gone
    const std::size_t room = limits.output_bytes - std::min(limits.output_bytes, text.size());
    text.append(buffer, std::min(room, static_cast<std::size_t>(count)));
  }
}

/// Waits for the child, at most until its time is over; then kills it, and with it all that it started.
int Await(pid_t child, const SandboxLimits& limits, std::chrono::steady_clock::time_point start,
          bool& is_timeout) {
  int status = 0;
  while (!is_timeout && waitpid(child, &status, WNOHANG) == 0) {
    if (SecondsSince(start) >= limits.seconds) is_timeout = true;
    usleep(2000);
  }
  if (!is_timeout) return status;
  kill(-child, SIGKILL);  // --die-with-parent takes the namespace's first process along, and that all others
  waitpid(child, &status, 0);
  return status;
}

}  // namespace

CodeSandbox::CodeSandbox() {
  for (const char* program : {kBubblewrap, kPrlimit, kPython})
    if (access(program, X_OK) != 0)
      ThrowUnusable(fmt::format("{} is not there", program), "apt-get install bubblewrap util-linux python3");
  const SandboxResult trial = Run("print('alive')");
  if (!trial.has_passed || trial.output != "alive\n")
    ThrowUnusable(
        "bubblewrap does not start: " + trial.output.substr(0, 300),
        "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, or the container's settings)");
}

SandboxResult CodeSandbox::Run(const std::string& program, const SandboxLimits& limits) const {
  const std::vector<std::string> command = BubblewrapCommand(limits);
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const Descriptor file(WriteToMemory(program));
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) ThrowUnusable("there is no pipe", "close some files");
  const Descriptor output(ends[0]);
  Descriptor input(ends[1]);
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child < 0) ThrowUnusable("fork fails", "end some processes");
  if (child == 0) BecomeBubblewrap(arguments.data(), file.number(), input.number(), limits);
  input.Close();
  SandboxResult result;
  result.is_timeout = Collect(output.number(), limits, start, result.output);
  const int status = Await(child, limits, start, result.is_timeout);
  result.seconds = SecondsSince(start);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.has_passed = !result.is_timeout && result.status == 0;
  return result;
}

}  // namespace forge::eval

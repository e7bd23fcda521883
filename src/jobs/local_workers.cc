// SPDX-License-Identifier: Apache-2.0
#include "jobs/local_workers.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/check.h"
#include "base/descriptor.h"
#include "base/error.h"

namespace forge::jobs {
namespace {

constexpr auto kReapPause = std::chrono::milliseconds(5);

[[noreturn]] void ThrowCannotStart(const std::string& program, int error) {
  throw Error({.kind = ErrorKind::kEnvironment,
               .what = "cannot start the worker process " + program,
               .why = std::strerror(error),
               .fix = "check that the program is there and that this user may start more processes"});
}

/// In the child. Other threads of the parent may hold any lock, so only what is safe in a signal handler may
/// be called: no memory, no exceptions. Sends errno through `failure` if the program cannot be run.
[[noreturn]] void BecomeWorker(char* const* arguments, pid_t parent, int input, int output, int failure) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);  // it died before the kernel was asked
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(input, STDIN_FILENO);
  if (output >= 0) {
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
  }
  execvp(arguments[0], arguments);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(failure, &error, sizeof error);
  _exit(127);
}

}  // namespace

LocalWorkers::LocalWorkers(LocalWorkersOptions options) : options_(std::move(options)) {
  FORGE_CHECK(!options_.command.empty() && options_.count >= 1);
  children_.resize(static_cast<std::size_t>(options_.count));
  try {
    for (Child& child : children_) Start(child);
  } catch (const Error&) {
    Signal(SIGKILL);
    while (!Reap()) std::this_thread::sleep_for(kReapPause);
    throw;
  }
}

LocalWorkers::~LocalWorkers() {
  Signal(SIGTERM);
  const auto patience = std::chrono::duration<double>(options_.end_seconds);
  const auto start = std::chrono::steady_clock::now();
  bool killed = false;
  while (!Reap()) {
    if (!killed && std::chrono::steady_clock::now() - start > patience) {
      Signal(SIGKILL);
      killed = true;
    }
    std::this_thread::sleep_for(kReapPause);
  }
}

void LocalWorkers::Start(Child& child) {
  std::vector<char*> arguments;
  for (std::string& argument : options_.command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  const Descriptor input(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const Descriptor output(options_.output.empty() ? -1
                                                  : open(options_.output.c_str(),
                                                         O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!options_.output.empty() && output.number() < 0) ThrowCannotStart(options_.command[0], errno);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) ThrowCannotStart(options_.command[0], errno);
  const Descriptor result(ends[0]);
  Descriptor failure(ends[1]);
  const pid_t parent = getpid(), process = fork();
  if (process == 0) BecomeWorker(arguments.data(), parent, input.number(), output.number(), failure.number());
  if (process < 0) ThrowCannotStart(options_.command[0], errno);
  failure.Close();
  int error = 0;
  ssize_t count = 0;
  do count = read(result.number(), &error, sizeof error);  // ends when the program runs
  while (count < 0 && errno == EINTR);
  if (count == sizeof error) {
    waitpid(process, nullptr, 0);
    ThrowCannotStart(options_.command[0], error);
  }
  child.process = process;
  child.started = options_.clock();
}

void LocalWorkers::Tend() {
  for (Child& child : children_) {
    int status = 0;
    if (child.process == 0 || waitpid(child.process, &status, WNOHANG) != child.process) continue;
    OnEnd(child, status);
  }
}

void LocalWorkers::OnEnd(Child& child, int status) {
  const pid_t process = std::exchange(child.process, 0);
  const bool crashed = WIFSIGNALED(status);
  last_end_ = crashed
                  ? fmt::format("worker process {} was killed by signal {} ({})", process, WTERMSIG(status),
                                strsignal(WTERMSIG(status)))
                  : fmt::format("worker process {} ended with exit code {}", process, WEXITSTATUS(status));
  if (options_.clock() - child.started >= options_.settled_seconds) child.restarts = 0;
  const bool again = crashed && child.restarts < options_.most_restarts;
  if (options_.log)
    options_.log(last_end_ +
                 (again     ? "; another one is started"
                  : crashed ? fmt::format(", after {} restarts in a row; no other is started", child.restarts)
                            : ""));
  if (!again) return;
  ++child.restarts;
  Start(child);
}

void LocalWorkers::ThrowIfNoneIsLeft() const {
  if (running() > 0) return;
  throw Error({.kind = ErrorKind::kEnvironment,
               .what = "no worker of this machine is left",
               .why = last_end_,
               .fix = options_.output.empty()
                          ? "look at what it printed, then resume the run"
                          : "look at " + options_.output.string() + ", then resume the run"});
}

int LocalWorkers::running() const {
  return static_cast<int>(std::count_if(children_.begin(), children_.end(),
                                        [](const Child& child) { return child.process != 0; }));
}

std::vector<pid_t> LocalWorkers::processes() const {
  std::vector<pid_t> processes;
  for (const Child& child : children_)
    if (child.process != 0) processes.push_back(child.process);
  return processes;
}

void LocalWorkers::Signal(int signal) {
  for (const Child& child : children_)
    if (child.process != 0) kill(child.process, signal);
}

/// Takes those that have ended off; whether none is left.
bool LocalWorkers::Reap() {
  for (Child& child : children_)
    if (child.process != 0 && waitpid(child.process, nullptr, WNOHANG) != 0) child.process = 0;
  return running() == 0;
}

}  // namespace forge::jobs

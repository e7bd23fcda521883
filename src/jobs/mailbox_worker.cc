// SPDX-License-Identifier: Apache-2.0
#include "jobs/mailbox_worker.h"

#include "base/check.h"
#include "io/atomic_file.h"
#include "jobs/polling_pause.h"

namespace forge::jobs {
namespace {

namespace fs = std::filesystem;

}  // namespace

MailboxWorkerPort::MailboxWorkerPort(const fs::path& workers_folder, std::string name,
                                     std::function<void(double)> wait)
    : coordinator_file_(workers_folder / kCoordinatorFile),
      folder_(workers_folder / name),
      name_(std::move(name)),
      wait_(wait ? std::move(wait) : Sleep) {
  FORGE_CHECK(IsWorkerName(name_));
  io::CreateFolders(folder_);
  // What is there was there before: a coordinator of which only the file is left must not count as one.
  coordinator_beat_ = ReadBeat(coordinator_file_).value_or(Beat{.beat = -1}).beat;
}

void MailboxWorkerPort::Send(const FromWorker& message) {
  const std::lock_guard lock(mutex_);
  const auto answer = [&](const std::string& key) {
    const auto found = numbers_.find(key);
    if (found == numbers_.end()) return;
    WriteMessageFile(folder_ / ResultFile(found->second), Encode(message));
    numbers_.erase(found);
  };
  if (std::holds_alternative<Hello>(message)) {
    SendHeartbeat();
    WriteMessageFile(folder_ / kHelloFile, Encode(message));
  } else if (std::holds_alternative<Heartbeat>(message)) {
    SendHeartbeat();
  } else if (const Result* result = std::get_if<Result>(&message)) {
    answer(result->key);
  } else if (const Failure* failure = std::get_if<Failure>(&message)) {
    answer(failure->key);
  } else if (told_to_leave_ && ListMessages(folder_).results.empty()) {
    std::error_code ignored;  // what stays is removed by the next coordinator
    fs::remove_all(folder_, ignored);
  } else if (!IsGone(folder_)) {
    WriteMessageFile(folder_ / kGoodbyeFile, Encode(message));
  }
}

void MailboxWorkerPort::SendHeartbeat() {
  ++beat_.beat;
  WriteBeat(folder_ / kHeartbeatFile, beat_);
}

std::optional<ToWorker> MailboxWorkerPort::Receive(double seconds) {
  PollingPause pause;
  for (double waited = 0;;) {
    if (std::optional<ToWorker> message = Look()) return message;
    if (waited >= seconds) return std::nullopt;
    const double next = pause.NextSeconds();
    wait_(next);
    waited += next;
  }
}

std::optional<ToWorker> MailboxWorkerPort::Look() {
  for (const char* name : {kRefusedFile, kStopFile}) {
    const std::optional<std::string> text = ReadMessageFile(folder_ / name);
    if (!text) continue;
    told_to_leave_ = true;
    return ParseToWorker(*text, (folder_ / name).string());
  }
  if (IsGone(folder_)) return Stop{"the run has closed"};
  if (const std::optional<Beat> beat = ReadBeat(coordinator_file_); beat && beat->beat != coordinator_beat_) {
    coordinator_beat_ = beat->beat;
    return Presence{};
  }
  return NextJob();
}

std::optional<ToWorker> MailboxWorkerPort::NextJob() {
  const NumberedFiles files = ListMessages(folder_);
  const auto first = files.jobs.lower_bound(beat_.next);
  if (first == files.jobs.end()) return std::nullopt;
  const std::optional<std::string> text = ReadMessageFile(folder_ / first->second);
  if (!text) return std::nullopt;  // just withdrawn
  const ToWorker message = ParseToWorker(*text, (folder_ / first->second).string());
  const std::lock_guard lock(mutex_);
  beat_.next = first->first + 1;
  if (const Job* job = std::get_if<Job>(&message)) numbers_.emplace(job->key, first->first);
  return message;
}

}  // namespace forge::jobs

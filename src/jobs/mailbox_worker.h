// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "jobs/mailbox_files.h"
#include "jobs/ports.h"

namespace forge::jobs {

/// A worker's end of a folder of mailboxes (mailbox_files.h): makes its own folder there and removes it when
/// it is told to stop and nothing of it is unread.
class MailboxWorkerPort : public WorkerPort {
 public:
  /// `wait` sleeps; a test counts instead. Error(kEnvironment) if the folder cannot be made.
  explicit MailboxWorkerPort(const std::filesystem::path& workers_folder, std::string name = NewWorkerName(),
                             std::function<void(double seconds)> wait = {});

  /// A result or failure of a job that Receive has not given goes nowhere.
  void Send(const FromWorker& message) override;
  /// Also a Stop when its own folder was removed: then the run is over.
  std::optional<ToWorker> Receive(double seconds) override;
  const std::string& name() const { return name_; }

 private:
  std::optional<ToWorker> Look();
  std::optional<ToWorker> NextJob();
  void SendHeartbeat();

  std::filesystem::path coordinator_file_, folder_;
  std::string name_;
  std::function<void(double)> wait_;
  std::mutex mutex_;  // of what Send uses
  Beat beat_;
  std::multimap<std::string, std::int64_t> numbers_;  // key -> number, of jobs without a result
  std::int64_t coordinator_beat_ = -1;
  bool told_to_leave_ = false;
};

}  // namespace forge::jobs

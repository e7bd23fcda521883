// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "jobs/beat_thread.h"
#include "jobs/mailbox_files.h"
#include "jobs/ports.h"

namespace forge::jobs {

/// The coordinator's end of a folder of mailboxes (mailbox_files.h). A new coordinator finds in it what
/// workers of an earlier one have left: results, and workers that are alive, with their jobs.
///
/// A worker on this machine is known to be dead as soon as its process is (Gone); of others only the silence
/// tells. A folder that holds what cannot be understood makes an Unreadable of that worker, a file or a
/// folder of another name is left alone and reported once. A thread keeps the coordinator's file fresh while
/// the object lives, also while nobody polls.
///
/// Costs two looks into each worker's folder for a Poll, and once a second the heartbeat's file. On NFS a
/// client may show a new name only when its cached folder expires (acdirmax, 60 s by default), so results
/// come late there unless it is mounted with a small actimeo; leases do not suffer, because heartbeats are
/// read by opening the file.
class MailboxCoordinatorPort : public CoordinatorPort {
 public:
  /// Creates the folder. `log` gets one line for each thing that is strange. Error(kEnvironment).
  explicit MailboxCoordinatorPort(std::filesystem::path workers_folder,
                                  std::function<void(const std::string&)> log = {});
  ~MailboxCoordinatorPort() override;

  std::vector<Event> Poll(double now) override;
  void Settle() override;
  void Send(const std::string& worker, const ToWorker& message) override;
  void Withdraw(const std::string& worker, const std::string& key) override;
  void Forget(const std::string& worker) override;

 private:
  struct Box {
    std::filesystem::path folder;
    Hello hello;
    std::int64_t next_job = 1, last_beat = -1;
    std::map<std::int64_t, std::string> jobs;  // number -> key, of files that are there
    std::set<std::int64_t> taken;              // results that were given and not settled
    bool closed = false;                       // said goodbye, is gone, or is not read any more
    bool left = false;                         // its goodbye was given: the folder goes with Settle
  };

  void FindNew(std::vector<Event>& events);
  void Open(const std::string& worker, std::vector<Event>& events);
  void ReadResults(const std::string& worker, Box& box, std::vector<Event>& events);
  void ReadHeartbeat(const std::string& worker, Box& box, std::vector<Event>& events);
  void ReadGoodbye(const std::string& worker, Box& box, std::vector<Event>& events);
  void LogOnce(const std::string& name, const std::string& line);

  std::filesystem::path folder_;
  std::function<void(const std::string&)> log_;
  std::map<std::string, Box> boxes_;
  std::set<std::string> reported_;
  double last_beats_ = -1e300;  // when heartbeats were last read
  std::unique_ptr<BeatThread> beat_;
};

}  // namespace forge::jobs

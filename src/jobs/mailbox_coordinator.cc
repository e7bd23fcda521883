// SPDX-License-Identifier: Apache-2.0
#include "jobs/mailbox_coordinator.h"

#include <fmt/format.h>

#include "base/check.h"
#include "io/atomic_file.h"
#include "track/process_id.h"

namespace forge::jobs {
namespace {

namespace fs = std::filesystem;

constexpr double kBeatSeconds = 5;      // of the coordinator's own file
constexpr double kLookSeconds = 1;      // between two looks at the heartbeats
constexpr int kMostResultsAtOnce = 64;  // of one worker in one Poll, so that none keeps the others waiting

void Remove(const fs::path& path) {
  std::error_code
      ignored;  // a file that stays is read again by the next coordinator, which counts it as extra
  fs::remove_all(path, ignored);
}

}  // namespace

MailboxCoordinatorPort::MailboxCoordinatorPort(fs::path workers_folder,
                                               std::function<void(const std::string&)> log)
    : folder_(std::move(workers_folder)), log_(std::move(log)) {
  io::CreateFolders(folder_);
  const fs::path file = folder_ / kCoordinatorFile;
  // Workers wait for a change, so it goes on from what an earlier coordinator wrote.
  const std::int64_t first = ReadBeat(file).value_or(Beat{}).beat + 1;
  WriteBeat(file, {.beat = first});  // here, so that a full disk is seen
  beat_ = std::make_unique<BeatThread>(kBeatSeconds,
                                       [file, beat = first]() mutable { WriteBeat(file, {.beat = ++beat}); });
}

MailboxCoordinatorPort::~MailboxCoordinatorPort() = default;

std::vector<Event> MailboxCoordinatorPort::Poll(double now) {
  std::vector<Event> events;
  FindNew(events);
  const bool look = now - last_beats_ >= kLookSeconds;
  if (look) last_beats_ = now;
  for (auto& [worker, box] : boxes_) {
    if (box.closed) continue;
    ReadResults(worker, box, events);
    if (!box.closed) ReadGoodbye(worker, box, events);
    if (!box.closed && look) ReadHeartbeat(worker, box, events);
  }
  return events;
}

void MailboxCoordinatorPort::FindNew(std::vector<Event>& events) {
  std::error_code error;
  for (fs::directory_iterator entry(folder_, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with(kCoordinatorFile) || boxes_.contains(name)) continue;
    std::error_code unknown;
    if (!IsWorkerName(name) || !entry->is_directory(unknown) || entry->is_symlink(unknown))
      LogOnce(name, fmt::format("{} is no worker's folder and is left alone", entry->path().string()));
    else
      Open(name, events);
  }
}

void MailboxCoordinatorPort::Open(const std::string& worker, std::vector<Event>& events) {
  Box box{.folder = folder_ / worker};
  Joined joined;
  try {
    const std::optional<std::string> text = ReadMessageFile(box.folder / kHelloFile);
    if (!text) return;  // it is just joining
    const FromWorker message = ParseFromWorker(*text, (box.folder / kHelloFile).string());
    const Hello* hello = std::get_if<Hello>(&message);
    if (hello == nullptr)
      throw Error(
          {.what = "cannot understand " + (box.folder / kHelloFile).string(), .why = "it is no hello"});
    joined.hello = box.hello = *hello;
    const NumberedFiles files = ListMessages(box.folder);
    for (const auto& [number, name] : files.jobs) {
      const std::optional<std::string> job_text = ReadMessageFile(box.folder / name);
      if (!job_text) continue;
      const ToWorker job = ParseToWorker(*job_text, (box.folder / name).string());
      if (!std::holds_alternative<Job>(job)) continue;
      box.jobs[number] = std::get<Job>(job).key;
      box.next_job = number + 1;
      if (!files.results.contains(number)) joined.in_hand.push_back(box.jobs[number]);
    }
    if (!files.results.empty()) box.next_job = std::max(box.next_job, files.results.rbegin()->first + 1);
  } catch (const Error& error) {
    box.closed = true;
    events.push_back({worker, Unreadable{error.fields().what + ": " + error.fields().why}});
    boxes_.emplace(worker, std::move(box));
    return;
  }
  // What an earlier coordinator said does not hold for this one.
  Remove(box.folder / kStopFile);
  Remove(box.folder / kRefusedFile);
  joined.alive = track::LivenessOf(box.hello.process) == track::Liveness::kAlive;
  if (const std::optional<Beat> beat = ReadBeat(box.folder / kHeartbeatFile)) {
    box.last_beat = beat->beat;
    box.next_job = std::max(box.next_job, beat->next);
  }
  events.push_back({worker, std::move(joined)});
  boxes_.emplace(worker, std::move(box));
}

void MailboxCoordinatorPort::ReadResults(const std::string& worker, Box& box, std::vector<Event>& events) {
  int given = 0;
  for (const auto& [number, name] : ListMessages(box.folder).results) {
    if (given == kMostResultsAtOnce) return;
    if (box.taken.contains(number)) continue;
    try {
      const std::optional<std::string> text = ReadMessageFile(box.folder / name);
      if (!text) continue;
      FromWorker message = ParseFromWorker(*text, (box.folder / name).string());
      if (auto* result = std::get_if<Result>(&message))
        events.push_back({worker, std::move(*result)});
      else if (auto* failure = std::get_if<Failure>(&message))
        events.push_back({worker, std::move(*failure)});
      else
        throw Error({.what = "cannot understand " + (box.folder / name).string(), .why = "it is no result"});
      box.taken.insert(number);
      ++given;
    } catch (const Error& error) {
      std::error_code ignored;  // it may be a folder, or not ours: then it stays, and is not read again
      fs::rename(box.folder / name, box.folder / ("bad-" + name), ignored);
      box.closed = true;
      events.push_back({worker, Unreadable{error.fields().what + ": " + error.fields().why}});
      return;
    }
  }
}

void MailboxCoordinatorPort::ReadGoodbye(const std::string& worker, Box& box, std::vector<Event>& events) {
  try {
    const std::optional<std::string> text = ReadMessageFile(box.folder / kGoodbyeFile);
    if (!text) return;
    ReadResults(worker, box, events);  // those that it wrote before, between our two looks
    if (box.closed || ListMessages(box.folder).results.size() > box.taken.size()) return;
    FromWorker message = ParseFromWorker(*text, (box.folder / kGoodbyeFile).string());
    if (!std::holds_alternative<Goodbye>(message))
      throw Error(
          {.what = "cannot understand " + (box.folder / kGoodbyeFile).string(), .why = "it is no goodbye"});
    events.push_back({worker, std::get<Goodbye>(std::move(message))});
    box.left = true;
  } catch (const Error& error) {
    events.push_back({worker, Unreadable{error.fields().what + ": " + error.fields().why}});
  }
  box.closed = true;
}

void MailboxCoordinatorPort::ReadHeartbeat(const std::string& worker, Box& box, std::vector<Event>& events) {
  const std::optional<Beat> beat = ReadBeat(box.folder / kHeartbeatFile);
  if (beat && beat->beat != box.last_beat) {
    box.last_beat = beat->beat;
    box.next_job = std::max(box.next_job, beat->next);
    events.push_back({worker, Heartbeat{}});
  }
  const bool dead = track::LivenessOf(box.hello.process) == track::Liveness::kDead;
  if (!dead && !IsGone(box.folder)) return;
  ReadResults(worker, box, events);  // the last it wrote before it died
  if (box.closed) return;
  ReadGoodbye(worker, box, events);
  if (box.closed) return;
  box.closed = true;
  events.push_back({worker, Gone{dead ? fmt::format("its process {} has ended", box.hello.pid)
                                      : "its folder " + box.folder.string() + " was removed"}});
}

void MailboxCoordinatorPort::Settle() {
  for (auto& [worker, box] : boxes_) {
    for (const std::int64_t number : std::exchange(box.taken, {})) {
      // The job first: one without a result would be taken for one that the worker still has in hand.
      Remove(box.folder / JobFile(number));
      Remove(box.folder / ResultFile(number));
      const auto job = box.jobs.find(number);
      if (job == box.jobs.end()) continue;
      const std::string key = job->second;
      box.jobs.erase(job);
      Withdraw(worker, key);  // it was given the job a second time while it was thought to be lost
    }
    if (box.left) Remove(box.folder);
  }
}

void MailboxCoordinatorPort::Send(const std::string& worker, const ToWorker& message) {
  const auto found = boxes_.find(worker);
  if (found == boxes_.end()) return;
  Box& box = found->second;
  if (IsGone(box.folder)) return;
  if (const Job* job = std::get_if<Job>(&message)) {
    const std::int64_t number = box.next_job++;
    box.jobs[number] = job->key;
    WriteMessageFile(box.folder / JobFile(number), Encode(message));
  } else if (std::holds_alternative<Refusal>(message)) {
    WriteMessageFile(box.folder / kRefusedFile, Encode(message));
    box.closed = true;  // nothing that it says counts
  } else if (std::holds_alternative<Stop>(message)) {
    WriteMessageFile(box.folder / kStopFile, Encode(message));
  }
}

void MailboxCoordinatorPort::Withdraw(const std::string& worker, const std::string& key) {
  const auto found = boxes_.find(worker);
  if (found == boxes_.end()) return;
  Box& box = found->second;
  for (auto job = box.jobs.begin(); job != box.jobs.end();) {
    if (job->second != key || box.taken.contains(job->first)) {
      ++job;
      continue;
    }
    Remove(box.folder / JobFile(job->first));
    job = box.jobs.erase(job);
  }
}

void MailboxCoordinatorPort::Forget(const std::string& worker) {
  const auto found = boxes_.find(worker);
  if (found == boxes_.end()) return;
  found->second.closed = true;
  if (found->second.taken.empty()) Remove(found->second.folder);
}

void MailboxCoordinatorPort::LogOnce(const std::string& name, const std::string& line) {
  if (log_ && reported_.insert(name).second) log_(line);
}

}  // namespace forge::jobs

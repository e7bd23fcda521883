// SPDX-License-Identifier: Apache-2.0
#include "jobs/coordinator.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "jobs/polling_pause.h"

namespace forge::jobs {
namespace {

std::string Briefly(const std::string& hash) { return hash.substr(0, 12); }

/// Why a worker of this identity may not join; the fix is for the person at the worker.
Error::Fields WhyRefused(const Identity& here, const Identity& there, const std::string& run) {
  std::vector<std::string> whys, fixes;
  if (here.version != there.version) {
    whys.push_back(fmt::format("this forge is {}, the coordinator's is {}", there.version, here.version));
    fixes.push_back(fmt::format("start the worker with forge {}", here.version));
  }
  if (here.inputs != there.inputs) {
    whys.push_back(fmt::format("its settings, models or items hash to {}, the coordinator's to {}",
                               Briefly(there.inputs), Briefly(here.inputs)));
    fixes.push_back("give it the run folder, models and tasks that the coordinator has, bit for bit");
  }
  return {.kind = ErrorKind::kInput,
          .what = "this worker cannot join run " + run,
          .why = fmt::format("{}", fmt::join(whys, "; ")),
          .fix = fmt::format("{}", fmt::join(fixes, "; "))};
}

}  // namespace

Coordinator::Coordinator(CoordinatorPort& port, track::Store& store, CoordinatorOptions options)
    : port_(port), store_(store), options_(std::move(options)) {
  FORGE_CHECK(options_.prefetch >= 1 && options_.lease_seconds > 0 && options_.most_losses >= 1);
  if (!options_.wait) options_.wait = Sleep;
}

Coordinator::~Coordinator() {
  for (const auto& [name, worker] : workers_) {
    try {
      port_.Send(name, Stop{"the coordinator of run " + options_.run + " has ended"});
    } catch (const Error&) {  // it will find out by itself, after its patience
    }
  }
}

void Coordinator::Submit(Job job) {
  FORGE_CHECK(!job.key.empty() && job.key.size() <= kMostKeyBytes && !jobs_.contains(job.key));
  const track::JobRow row = store_.AddJob(options_.run, options_.stage, job.key, job.what);
  if (row.state == track::JobState::kDone) {
    const std::optional<io::Json> value = store_.GetUnit(options_.run, options_.stage, job.key);
    FORGE_CHECK(value);  // written with the row
    ready_.push_back({.key = job.key, .value = *value, .worker = row.worker, .seconds = row.seconds});
    return;
  }
  const std::uint64_t order = submitted_++;
  if (!holder_.contains(job.key)) open_.emplace(order, job.key);
  std::string key = job.key;
  jobs_.emplace(std::move(key), Pending{.job = std::move(job), .order = order, .lost_by = {}});
}

JobResult Coordinator::Next() {
  FORGE_CHECK(UnderWay() > 0);
  bool looked = false;
  for (PollingPause pause;;) {
    if (options_.stop != nullptr) options_.stop->ThrowIfRequested("the last result");
    // With results at hand, a round is only worth it if somebody waits for a job.
    if (ready_.empty() || (!looked && !open_.empty() && !able_.empty())) Round();
    looked = true;
    if (error_) throw Error(*error_);
    if (!ready_.empty()) break;
    if (options_.tend) options_.tend();
    options_.wait(pause.NextSeconds());
  }
  JobResult result = std::move(ready_.front());
  ready_.pop_front();
  return result;
}

int Coordinator::Slots() const {
  return std::max(1, std::max(active_, options_.expected_workers) * options_.prefetch);
}

void Coordinator::Round() {
  now_ = options_.clock();
  ForgivePause();
  std::vector<Event> events = port_.Poll(now_);
  {
    std::optional<track::Store::Transaction> unit;  // one for all that changes in this round
    if (!events.empty() || (!open_.empty() && !able_.empty())) unit.emplace(store_);
    for (Event& event : events) Take(event);
    Expire();
    if (!error_) {
      Assign();
      TakeOver();
    }
    KeepRows();
    if (unit) unit->Commit();
  }
  port_.Settle();
  for (const auto& [worker, key] : withdrawn_) port_.Withdraw(worker, key);
  for (const auto& [worker, message] : outgoing_) port_.Send(worker, message);
  for (const std::string& worker : forgotten_) {
    port_.Forget(worker);
    workers_.erase(worker);
  }
  withdrawn_.clear();
  outgoing_.clear();
  forgotten_.clear();
  NoticeLoneliness();
}

void Coordinator::ForgivePause() {
  const double gap = last_round_ ? now_ - *last_round_ : 0;
  last_round_ = now_;
  if (gap <= options_.lease_seconds / 4) return;
  for (auto& [name, worker] : workers_) worker.last_heard += gap;
}

void Coordinator::Take(Event& event) {
  if (auto* joined = std::get_if<Joined>(&event.what)) {
    OnJoined(event.worker, *joined);
    return;
  }
  const bool unreadable = std::holds_alternative<Unreadable>(event.what);
  const auto found = unreadable ? workers_.try_emplace(event.worker).first : workers_.find(event.worker);
  if (found == workers_.end() || found->second.state == WorkerState::kRefused) return;
  WorkerEntry& worker = *found;
  worker.second.last_heard = now_;
  heard_.insert(worker.first);
  if (auto* result = std::get_if<Result>(&event.what)) {
    OnResult(worker.first, *result);
  } else if (auto* failure = std::get_if<Failure>(&event.what)) {
    OnFailure(worker, *failure);
  } else if (auto* goodbye = std::get_if<Goodbye>(&event.what)) {
    OnGoodbye(worker, *goodbye);
  } else if (auto* gone = std::get_if<Gone>(&event.what)) {
    Lose(worker, gone->why, /*blame=*/true);
    forgotten_.push_back(worker.first);
  } else if (unreadable) {
    Refuse(worker,
           {.kind = ErrorKind::kInput,
            .what = "this worker cannot stay in run " + options_.run,
            .why = std::get<Unreadable>(event.what).why,
            .fix = "use the same forge for coordinator and workers; only forge may write into its folder"});
  } else if (worker.second.state != WorkerState::kActive) {
    Activate(worker);
  }
}

void Coordinator::OnJoined(const std::string& name, Joined& joined) {
  WorkerEntry& worker = *workers_.try_emplace(name).first;
  if (!worker.second.in_hand.empty()) Lose(worker, "it has started anew", /*blame=*/true);
  SetState(worker, WorkerState::kUnproven);
  worker.second.hello = std::move(joined.hello);
  worker.second.claimed = std::move(joined.in_hand);
  worker.second.last_heard = now_;
  if (worker.second.hello.identity != options_.identity)
    Refuse(worker, WhyRefused(options_.identity, worker.second.hello.identity, options_.run));
  else if (joined.alive)
    Activate(worker);
}

void Coordinator::Activate(WorkerEntry& worker) {
  SetState(worker, WorkerState::kActive);
  for (const std::string& key : worker.second.claimed) {
    if (holder_.contains(key)) {  // somebody else has it by now
      withdrawn_.emplace_back(worker.first, key);
      continue;
    }
    holder_[key] = worker.first;
    worker.second.in_hand.push_back(key);
    if (const auto job = jobs_.find(key); job != jobs_.end()) open_.erase({job->second.order, key});
  }
  worker.second.claimed.clear();
  SetAble(worker, true);
  Log(fmt::format("worker {} has joined ({} thread{})", worker.first, worker.second.hello.threads,
                  worker.second.hello.threads == 1 ? "" : "s"));
}

void Coordinator::OnResult(const std::string& name, Result& result) {
  if (const auto holder = holder_.find(result.key); holder != holder_.end()) {
    if (holder->second != name) withdrawn_.emplace_back(holder->second, result.key);
    TakeFromHand(result.key);
  }
  const auto job = jobs_.find(result.key);
  const track::JobDone done{
      .key = result.key, .worker = name, .value = std::move(result.value), .seconds = result.seconds};
  if (!store_.FinishJob(options_.run, options_.stage, done)) {
    Log(fmt::format("worker {} sent a result that is not needed: {}", name, done.key));
    return;
  }
  if (job == jobs_.end()) return;  // of an earlier coordinator: Submit will find it done
  open_.erase({job->second.order, done.key});
  jobs_.erase(job);
  ready_.push_back({.key = done.key, .value = done.value, .worker = done.worker, .seconds = done.seconds});
}

void Coordinator::OnFailure(WorkerEntry& worker, Failure& failure) {
  if (const auto holder = holder_.find(failure.key);
      holder != holder_.end() && holder->second == worker.first) {
    TakeFromHand(failure.key);
    Reopen(failure.key);
  }
  if (!jobs_.contains(failure.key)) return;
  failure.error.why += fmt::format(" (job {} at worker {})", failure.key, worker.first);
  error_ = Error(failure.error);
}

void Coordinator::OnGoodbye(WorkerEntry& worker, const Goodbye& goodbye) {
  const Error::Fields& reason = goodbye.reason;
  const bool trouble = !reason.what.empty();
  Lose(worker, trouble ? fmt::format("{}: {}", reason.what, reason.why) : "it has left", trouble);
  forgotten_.push_back(worker.first);
}

/// `blame`: what it was doing may be the reason.
void Coordinator::Lose(WorkerEntry& worker, const std::string& why, bool blame) {
  auto& [name, state] = worker;
  SetState(worker, WorkerState::kLost);
  Log(fmt::format("worker {} is lost: {}", name, why));
  const std::deque<std::string> in_hand = std::exchange(state.in_hand, {});
  for (const std::string& key : in_hand) {
    Reopen(key);
    withdrawn_.emplace_back(name, key);
  }
  if (!blame || in_hand.empty()) return;
  const auto job = jobs_.find(in_hand.front());
  if (job == jobs_.end()) return;
  std::vector<std::string>& lost_by = job->second.lost_by;
  lost_by.push_back(fmt::format("{}: {}", name, why));
  if (lost_by.size() < static_cast<std::size_t>(options_.most_losses)) return;
  error_ = Error(
      {.kind = ErrorKind::kEnvironment,
       .what = "cannot do job " + job->first,
       .why = fmt::format("{} workers were lost over it ({})", lost_by.size(), fmt::join(lost_by, "; ")),
       .fix = "look at their output; if memory ran out, start fewer workers on each machine, then resume"});
}

void Coordinator::Refuse(WorkerEntry& worker, Error::Fields reason) {
  if (worker.second.state == WorkerState::kActive) Lose(worker, "it is turned away", /*blame=*/false);
  SetState(worker, WorkerState::kRefused);
  Log(fmt::format("worker {} is turned away: {}", worker.first, reason.why));
  outgoing_.emplace_back(worker.first, Refusal{std::move(reason)});
}

void Coordinator::Expire() {
  if (now_ - last_expiry_ < std::min(1.0, options_.lease_seconds / 10)) return;
  last_expiry_ = now_;
  for (WorkerEntry& worker : workers_) {
    const WorkerState state = worker.second.state;
    const double silent = now_ - worker.second.last_heard;
    if ((state == WorkerState::kActive || state == WorkerState::kUnproven) && silent > options_.lease_seconds)
      Lose(worker, fmt::format("nothing was heard of it for {:.0f} s", silent), /*blame=*/true);
  }
}

void Coordinator::Assign() {
  while (!open_.empty() && !able_.empty()) Give(*workers_.find(able_.begin()->second), open_.begin()->second);
}

void Coordinator::TakeOver() {
  const auto anyone_idle = [this] { return !able_.empty() && able_.begin()->first == 0; };
  if (!open_.empty() || !anyone_idle()) return;
  for (WorkerEntry& busy : workers_) {
    while (busy.second.state == WorkerState::kActive && busy.second.in_hand.size() > 1) {
      const std::string key = busy.second.in_hand.back();
      if (!anyone_idle() || !jobs_.contains(key)) break;
      withdrawn_.emplace_back(busy.first, key);
      TakeFromHand(key);
      Give(*workers_.find(able_.begin()->second), key);
    }
    if (!anyone_idle()) return;
  }
}

void Coordinator::Give(WorkerEntry& worker, const std::string& key) {
  const Pending& pending = jobs_.at(key);
  SetAble(worker, false);
  worker.second.in_hand.push_back(key);
  SetAble(worker, true);
  holder_[key] = worker.first;
  store_.LeaseJob(options_.run, options_.stage, key, worker.first);
  outgoing_.emplace_back(worker.first, pending.job);
  open_.erase({pending.order, std::string(key)});  // last: `key` may be in it
}

void Coordinator::TakeFromHand(const std::string& key) {
  const auto holder = holder_.find(key);
  WorkerEntry& worker = *workers_.find(holder->second);
  SetAble(worker, false);
  std::erase(worker.second.in_hand, key);
  SetAble(worker, true);
  holder_.erase(holder);
}

void Coordinator::Reopen(const std::string& key) {
  holder_.erase(key);
  store_.ReopenJob(options_.run, options_.stage, key);
  if (const auto job = jobs_.find(key); job != jobs_.end()) open_.emplace(job->second.order, key);
}

void Coordinator::SetState(WorkerEntry& worker, WorkerState state) {
  SetAble(worker, false);
  active_ += (state == WorkerState::kActive) - (worker.second.state == WorkerState::kActive);
  worker.second.state = state;
}

/// Whether it is listed among those that can take a job; to be taken out before its hand changes.
void Coordinator::SetAble(const WorkerEntry& worker, bool listed) {
  const std::size_t in_hand = worker.second.in_hand.size();
  if (!listed)
    able_.erase({in_hand, worker.first});
  else if (worker.second.state == WorkerState::kActive &&
           in_hand < static_cast<std::size_t>(options_.prefetch))
    able_.emplace(in_hand, worker.first);
}

void Coordinator::KeepRows() {
  if (now_ - last_rows_ < options_.lease_seconds / 3) return;
  last_rows_ = now_;
  store_.Heartbeat(options_.run);
  store_.HeartbeatJobs(options_.run, options_.stage, std::vector<std::string>(heard_.begin(), heard_.end()));
  heard_.clear();
}

void Coordinator::NoticeLoneliness() {
  if (active_ > 0) {
    lonely_since_.reset();
    noticed_ = false;
  } else if (!lonely_since_) {
    lonely_since_ = now_;
  } else if (!noticed_ && now_ - *lonely_since_ >= options_.notice_seconds) {
    noticed_ = true;
    Log(fmt::format("waiting for workers; start one with `{}`", options_.join_command));
  }
}

void Coordinator::Log(const std::string& line) const {
  if (options_.log) options_.log(line);
}

}  // namespace forge::jobs

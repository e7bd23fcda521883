// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <functional>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/philox.h"
#include "jobs/coordinator.h"
#include "jobs/ports.h"

namespace forge::jobs::testing {

struct Fates {
  double mean_job_seconds = 10;  // durations are exponential
  double dies = 0.02;            // of the jobs that are begun: the worker is not heard of again,
  double is_seen_dying = 0.5;    // or is known to be dead at once
  double falls_silent = 0.01;    // it stops for 1 to 3 leases and goes on: its result is late
  double leaves = 0.01;          // after the job, with a goodbye
  double seconds_away = 60;      // until another worker comes in place of one that has gone, at most
};

/// For tests and the benchmark: workers in virtual time, each with a fate for each of its jobs that is a pure
/// function of (seed, worker, job). Time passes only in wait().
class SimulatedWorkers : public CoordinatorPort {
 public:
  static constexpr double kLeaseSeconds = 30, kHeartbeatSeconds = 5;

  SimulatedWorkers(int workers, std::uint64_t seed, Fates fates = {}) : fates_(fates), seed_(seed) {
    places_.resize(static_cast<std::size_t>(workers));
    for (std::size_t place = 0; place < places_.size(); ++place)
      Plan(Draw(place).Uniform() * 10, place, Kind::kJoin);
  }

  /// What job `key` gives at any worker.
  static io::Json ValueOf(const std::string& key) { return {{"hash", StableHash(key) >> 11}}; }

  CoordinatorOptions Options(std::string run, std::string stage) {
    return {.identity = Self(),
            .run = std::move(run),
            .stage = std::move(stage),
            .lease_seconds = kLeaseSeconds,
            .most_losses = 8,
            .clock = [this] { return now_; },
            .wait = [this](double seconds) { now_ += seconds; }};
  }

  /// The coordinator was killed: the next one gets what was not settled again, and finds those who live.
  void LoseCoordinator() {
    std::deque<Event> again(given_.begin(), given_.end());
    again.insert(again.end(), waiting_.begin(), waiting_.end());
    given_.clear();
    waiting_.clear();
    for (std::size_t place = 0; place < places_.size(); ++place)
      if (places_[place].alive) SayJoined(place);
    for (Event& event : again)
      if (!std::holds_alternative<Joined>(event.what)) waiting_.push_back(std::move(event));
  }
  /// The next Settle throws, as if the process ended there.
  void DieAtNextSettle() { die_at_settle_ = true; }

  std::vector<Event> Poll(double now) override {
    while (!plan_.empty() && plan_.top().time <= now) {
      const Planned next = plan_.top();
      plan_.pop();
      if (next.life == places_[next.place].life) Happen(next);
    }
    FORGE_CHECK(given_.empty());
    given_.assign(waiting_.begin(), waiting_.end());
    waiting_.clear();
    for (const Event& event : given_) results_given_ += std::holds_alternative<Result>(event.what);
    return given_;
  }
  void Settle() override {
    if (std::exchange(die_at_settle_, false))
      throw Error(
          {.kind = ErrorKind::kEnvironment, .what = "killed", .why = "before Settle", .fix = "resume"});
    given_.clear();
  }
  void Send(const std::string& worker, const ToWorker& message) override {
    const Job* job = std::get_if<Job>(&message);
    Place* place = Find(worker);
    if (job == nullptr || place == nullptr) return;
    ++jobs_sent_;
    place->in_hand.push_back(job->key);
    if (place->in_hand.size() == 1) Begin(*place);
  }
  void Withdraw(const std::string& worker, const std::string& key) override {
    Place* place = Find(worker);
    if (place == nullptr || place->in_hand.empty()) return;
    place->in_hand.erase(std::remove(place->in_hand.begin() + 1, place->in_hand.end(), key),
                         place->in_hand.end());
  }
  void Forget(const std::string&) override {}

  double now() const { return now_; }
  std::int64_t deaths() const { return deaths_; }
  std::int64_t jobs_sent() const { return jobs_sent_; }
  std::int64_t results_given() const { return results_given_; }  // to coordinators, with those given again

 private:
  enum class Kind { kJoin, kBeat, kDone, kLeave, kDie, kDieSeen };
  struct Place {  // in which one worker after the other lives
    std::uint64_t life = 0, begun = 0;
    bool alive = false;
    double silent_until = 0;
    std::deque<std::string> in_hand;  // the first is begun
  };
  struct Planned {
    double time;
    std::uint64_t order;
    std::size_t place;
    std::uint64_t life;
    Kind kind;
    bool operator<(const Planned& other) const {  // the top of the queue is the earliest
      return std::tie(time, order) > std::tie(other.time, other.order);
    }
  };

  static Identity Self() { return {.version = "1", .inputs = "same"}; }
  std::string NameOf(std::size_t place) const {
    return "w" + std::to_string(place) + "-" + std::to_string(places_[place].life);
  }
  Place* Find(const std::string& worker) {
    const std::size_t dash = worker.find('-');
    Place& place = places_[std::stoul(worker.substr(1, dash))];
    return place.alive && std::to_string(place.life) == worker.substr(dash + 1) ? &place : nullptr;
  }
  Random Draw(std::size_t place) const {
    return Random(seed_, "simulated worker", place << 32 | places_[place].life << 16 | places_[place].begun);
  }
  void Plan(double time, std::size_t place, Kind kind) {
    plan_.push({time, planned_++, place, places_[place].life, kind});
  }
  void Say(std::size_t place, decltype(Event::what) what) {
    waiting_.push_back({NameOf(place), std::move(what)});
  }
  void SayJoined(std::size_t place) {
    const Place& found = places_[place];
    Say(place, Joined{.hello = {.identity = Self()},
                      .alive = found.life % 2 == 0,  // of the others only a heartbeat tells
                      .in_hand = {found.in_hand.begin(), found.in_hand.end()}});
  }

  void Begin(Place& found) {
    const auto place = static_cast<std::size_t>(&found - places_.data());
    Random random = Draw(place);
    ++found.begun;
    double end = now_ - fates_.mean_job_seconds * std::log(1 - random.Uniform());
    const double fate = random.Uniform(), moment = random.Uniform();
    if (fate < fates_.dies) {
      Plan(now_ + moment * (end - now_), place,
           random.Uniform() < fates_.is_seen_dying ? Kind::kDieSeen : Kind::kDie);
      return;
    }
    if (fate < fates_.dies + fates_.falls_silent) {
      found.silent_until = now_ + (1 + 2 * moment) * kLeaseSeconds;
      end = std::max(end, found.silent_until);
    }
    Plan(end, place, Kind::kDone);
    if (fate > 1 - fates_.leaves) Plan(end, place, Kind::kLeave);
  }

  void Happen(const Planned& planned) {
    Place& place = places_[planned.place];
    switch (planned.kind) {
      case Kind::kJoin:
        place.alive = true;
        SayJoined(planned.place);
        [[fallthrough]];
      case Kind::kBeat:
        if (now_ >= place.silent_until) Say(planned.place, Heartbeat{});
        Plan(planned.time + kHeartbeatSeconds, planned.place, Kind::kBeat);
        return;
      case Kind::kDone:
        Say(planned.place, Result{place.in_hand.front(), ValueOf(place.in_hand.front()), 1});
        place.in_hand.pop_front();
        if (!place.in_hand.empty()) Begin(place);
        return;
      case Kind::kLeave:
        Say(planned.place, Goodbye{});
        End(planned.place);
        return;
      case Kind::kDieSeen:
        Say(planned.place, Gone{"it has died"});
        [[fallthrough]];
      case Kind::kDie:
        ++deaths_;
        End(planned.place);
    }
  }
  void End(std::size_t place) {
    const double back = now_ + Draw(place).Uniform() * fates_.seconds_away;
    places_[place] = {.life = places_[place].life + 1};
    Plan(back, place, Kind::kJoin);
  }

  Fates fates_;
  std::uint64_t seed_, planned_ = 0;
  double now_ = 0;
  std::vector<Place> places_;
  std::priority_queue<Planned> plan_;
  std::deque<Event> waiting_;
  std::vector<Event> given_;
  bool die_at_settle_ = false;
  std::int64_t deaths_ = 0, jobs_sent_ = 0, results_given_ = 0;
};

struct SearchTally {
  std::int64_t coordinators = 0, wrong = 0;
  std::map<std::string, int> returned;  // key -> how often a caller got its result
};

/// A search of `jobs` jobs that keeps all workers busy; its coordinator is killed `kills` times on the way,
/// in turns while it is idle and between storing results and forgetting them, and begun anew.
inline SearchTally Search(SimulatedWorkers& workers, track::Store& store, int jobs, int kills) {
  SearchTally tally;
  const auto key = [](int job) { return "job " + std::to_string(job); };
  for (int session = 0; session <= kills; ++session) {
    ++tally.coordinators;
    const auto end = static_cast<std::size_t>(static_cast<std::int64_t>(jobs) * (session + 1) / (kills + 1));
    Coordinator coordinator(workers, store, workers.Options("r1", "evolve"));
    std::deque<int> missing;
    for (int job = 0; job < jobs; ++job)
      if (!tally.returned.contains(key(job))) missing.push_back(job);
    try {
      while (tally.returned.size() < end) {
        for (; !missing.empty() && coordinator.UnderWay() < static_cast<std::size_t>(coordinator.Slots());
             missing.pop_front())
          coordinator.Submit({key(missing.front()), {{"n", missing.front()}}});
        const JobResult result = coordinator.Next();
        ++tally.returned[result.key];
        tally.wrong += result.value != SimulatedWorkers::ValueOf(result.key);
      }
      if (session % 2 == 1 && session < kills) {
        workers.DieAtNextSettle();
        for (;;) coordinator.Next();  // results that it stores and does not live to return
      }
    } catch (const Error&) {  // killed
    }
    workers.LoseCoordinator();
  }
  return tally;
}

}  // namespace forge::jobs::testing

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/json_file.h"

namespace forge::track {

using io::Json;

/// Seconds since 1970. A parameter, so that tests are deterministic; SystemClock() outside of them.
using Clock = std::function<double()>;
Clock SystemClock();
/// Seconds since some time, never set back or forth: for leases and patience.
Clock SteadyClock();

/// State of a run, a stage or a candidate. kInterrupted: stopped on request or killed, and can be resumed.
enum class State { kRunning, kDone, kFailed, kInterrupted, kSkipped };
std::string_view Name(State state);
/// Throws Error(kInput) for a word that no forge writes.
State ParseState(std::string_view name);

/// JSON as one line of a column. Bytes that are no UTF-8 (model output in a log line) are replaced, not
/// refused.
std::string DumpJson(const Json& value);
/// The inverse; Error(kInput) when the store is damaged.
Json ParseColumn(const std::string& text);

/// What a run is started with.
struct RunStart {
  std::string id = {};       // name of its folder; NewRunId() makes one
  std::string command = {};  // as typed, for the report
  Json config = Json::object();
  std::int64_t seed = 0;
};

struct Run {
  std::string id = {};
  double created = 0;
  std::string command = {};
  Json config = {};
  std::int64_t seed = 0;
  State state = State::kRunning;  // kInterrupted too when the process that ran it is gone
  std::string message = {};       // why it failed; empty otherwise
  std::int64_t pid = 0;
  double heartbeat = 0;
  std::optional<double> ended = {};
  Json result = {};  // what FinishRun was given: final_model, versions, ...
};

struct Stage {
  std::string name = {};
  State state = State::kRunning;
  std::optional<double> started = {}, ended = {};  // of the session that last ran it
  double seconds = 0;                              // spent in it, over all sessions; up to now while it runs
  std::int64_t done = 0, total = 0;                // total 0: not known yet
  std::string unit = {};                           // "candidates", "steps"
  std::string activity = {};                       // what it is doing within the stage, "distilling"
  std::optional<double> rate = {};                 // units per second, over the last minute
  Json result = {};                                // what EndStage was given; {} while it runs

  /// From the rate; nothing while it is not known or nothing is left.
  std::optional<double> SecondsLeft() const;
};

/// One merge recipe and how well it did.
struct Candidate {
  std::int64_t id = 0;  // the caller's number, unique in the run
  std::int64_t generation = 0;
  std::string kind = {};   // "seed", "mutant", "child", "elite", or that of a reference
  std::string label = {};  // shown beside lines and nodes, e.g. "math" for a parent; may be empty
  Json genome = Json::object();
  std::vector<std::int64_t> parents = {};
  Json scores = Json::object();  // "fitness" is what the plots show; more keys as the caller likes
  State state = State::kDone;

  /// scores.fitness, if it is a finite number.
  std::optional<double> Fitness() const;
};

/// "parent", "base", "uniform": what the candidates are made from or compared with, in no generation.
bool IsReference(std::string_view kind);

/// The few numbers of a search that status shows, counted by the database.
struct SearchSummary {
  std::int64_t candidates = 0, generation = 0;  // generation: the latest
  std::optional<double> best_fitness = {}, best_parent = {};
  struct Domain {
    std::string name;
    std::optional<double> best, best_parent;  // of the candidates that are no reference; of the parents
  };
  std::vector<Domain> domains = {};  // the other numbers of the scores, by name
};

/// Score of one candidate on one domain of one split, with what each item got: 0 or 1 for exact match, or a
/// number.
struct Evaluation {
  std::int64_t candidate = 0;
  std::string split = {}, domain = {};
  double score = 0;
  std::vector<float> items = {};  // in item order; n is its size
};

enum class JobState { kOpen, kLeased, kDone };
std::string_view Name(JobState state);
/// Throws Error(kInput) for a word that no forge writes.
JobState ParseJobState(std::string_view name);

/// A job of a stage (src/jobs): what is to be done and who does it.
struct JobRow {
  std::string key = {};
  Json what = {};
  JobState state = JobState::kOpen;
  std::string worker = {};                             // that holds it, did it, or held it last
  std::int64_t attempts = 0;                           // how often it was given to a worker
  std::optional<double> leased_at = {}, done_at = {};  // of the last lease
  std::optional<double> heartbeat = {};                // when that worker was last heard of
  double seconds = 0;                                  // that it took, once it is done
};

/// A result of a job: the unit of its key gets `value`.
struct JobDone {
  std::string key = {}, worker = {};
  Json value = {};
  double seconds = 0;
};

struct JobCounts {
  std::int64_t open = 0, leased = 0, done = 0;
  std::int64_t attempts = 0;       // over all jobs; `attempts - leased - done` leases came to nothing
  std::int64_t extra_results = 0;  // results of jobs that were done already
};

struct JobWorker {
  std::string worker = {};
  std::int64_t leased = 0, done = 0;
  double seconds = 0;                    // spent in those that are done
  std::optional<double> heartbeat = {};  // the last of its jobs
};

struct Artifact {
  std::string name = {}, path = {};  // path as given: below the run folder, or absolute
  std::uint64_t bytes = 0;
  std::string sha256 = {};
};

struct Event {
  std::int64_t id = 0;
  std::string run = {};
  double time = 0;
  std::string kind = {};  // "run", "stage", "log", "candidate", "artifact"
  std::string stage = {};
  Json json = {};
};

struct MetricPoint {
  std::int64_t id = 0;
  std::string stage = {}, name = {};
  std::int64_t step = 0;
  double value = 0;
};

/// Per-item values as bytes: 'b' and packed bits when all are 0 or 1, else 'f' and little-endian floats; the
/// count (uint32, little-endian) follows the letter. [1, 0, 1] is 62 03 00 00 00 05.
std::vector<std::byte> PackItems(std::span<const float> items);
/// The inverse; a damaged blob throws Error(kInput).
std::vector<float> UnpackItems(std::span<const std::byte> bytes);

/// "run-20260131-142233": UTC, so that it sorts by time. `taken` says whether an id is in use; then -2, -3,
/// ... follow.
std::string NewRunId(double time, const std::function<bool(const std::string&)>& taken);

}  // namespace forge::track

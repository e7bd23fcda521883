// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace forge::jobs {

/// The folder of a run through which coordinator and workers talk, on any file system that all of them see:
///
///   workers/coordinator              {"beat": n}: n grows as long as a coordinator is there
///   workers/<worker>/hello.json      who it is; written last when it joins
///   workers/<worker>/heartbeat       {"beat": n, "next": m}: m is the lowest number of a job that it takes
///   workers/<worker>/job-<n>.json    a job for it; stays until its result was stored
///   workers/<worker>/result-<n>.json the result or failure of job n
///   workers/<worker>/goodbye.json    it has left
///   workers/<worker>/refused.json, stop.json   from the coordinator
///
/// Each file is one message (messages.h), appears under its name when it is whole, and is written by one
/// process. Nothing is synced to disk: what a power cut takes away is a job that is done again, while a sync
/// for each message would make a disk the limit of all workers. Names are made and checked here; no text of a
/// message becomes a path.
inline constexpr char kCoordinatorFile[] = "coordinator";
inline constexpr char kHelloFile[] = "hello.json";
inline constexpr char kHeartbeatFile[] = "heartbeat";
inline constexpr char kGoodbyeFile[] = "goodbye.json";
inline constexpr char kRefusedFile[] = "refused.json";
inline constexpr char kStopFile[] = "stop.json";

/// 1 to 100 letters, digits, '.', '_' and '-'; not starting with '.'.
bool IsWorkerName(std::string_view name);
/// "<host>-<pid>-<8 hex digits>", the last drawn by the system: no two workers of a run have the same.
std::string NewWorkerName();

/// Known not to be there; false where that cannot be told now.
bool IsGone(const std::filesystem::path& path);

std::string JobFile(std::int64_t number);
std::string ResultFile(std::int64_t number);

/// Names of a folder by their number: what is called `stem`<n>.json with n from 1 to 10^9. Empty for a folder
/// that is not there.
struct NumberedFiles {
  std::map<std::int64_t, std::string> jobs, results;
};
NumberedFiles ListMessages(const std::filesystem::path& folder);

/// The text of a file of at most kMostMessageBytes; nothing if there is none. Error(kInput) for what is no
/// regular file (a link, a pipe, a folder), is longer, or cannot be read.
std::optional<std::string> ReadMessageFile(const std::filesystem::path& file);
/// Whole or not there, for other processes. Error(kEnvironment) on a full disk.
void WriteMessageFile(const std::filesystem::path& file, std::string_view text);

/// What a heartbeat file says.
struct Beat {
  std::int64_t beat = 0, next = 1;
};
/// Nothing for a file that is not there or is no heartbeat: a worker without one is a silent worker.
std::optional<Beat> ReadBeat(const std::filesystem::path& file);
void WriteBeat(const std::filesystem::path& file, const Beat& beat);

}  // namespace forge::jobs

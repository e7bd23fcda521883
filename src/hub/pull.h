// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/metric_sink.h"
#include "base/stop_token.h"
#include "hub/hub_settings.h"
#include "hub/repo.h"

namespace forge::hub {

struct PulledFile {
  std::string name, etag;
  std::uint64_t bytes = 0;
  bool was_there = false;  // in the cache already
};

struct PullResult {
  std::filesystem::path snapshot;
  std::string commit;
  std::vector<PulledFile> files;
};

/// Picks the files to fetch from all those of a revision; throws Error when there are none.
using FileChooser = std::function<std::vector<std::string>(const std::vector<std::string>& files)>;

/// Brings the chosen files of a repository into the cache, in the layout of huggingface_hub (repo_cache.h),
/// and returns their snapshot folder. What is there is not fetched again; what an interrupted call left is
/// gone on with. The revision's ref is written when all files are linked, so a name never leads to half a
/// snapshot that forge made. The plan goes to `sink` before the first byte.
///
/// Throws Error: as ThrowHubError and DownloadBlobs have it, and kEnvironment before the first byte when the
/// disk has no room. With settings.offline nothing is sent: the files are chosen from the snapshot in the
/// cache, or ThrowOffline. When nothing is chosen, nothing is written.
PullResult Pull(const HubSettings& settings, const RepoReference& reference, const FileChooser& choose,
                MetricSink& sink, const StopToken& stop);

/// Whether there is a snapshot of the revision, whole or not.
bool IsInCache(const HubSettings& settings, const RepoReference& reference);

/// The files that forge reads models from (model_files.h). Offline, the snapshot in the cache if it is a
/// model, or if each pattern of `include` matches a file in it.
PullResult PullModel(const HubSettings& settings, const RepoReference& reference,
                     const std::vector<std::string>& include, MetricSink& sink, const StopToken& stop);

/// A model folder or GGUF file that was pulled, by forge or by Python: OWNER/NAME or OWNER/NAME@REVISION.
/// Nothing if the text is no such name or not all of it is in the cache. Reads files only.
std::optional<std::filesystem::path> FindPulledModel(const std::filesystem::path& cache,
                                                     const std::string& name);

/// Says that something is not in the cache and --offline keeps it from being fetched.
[[noreturn]] void ThrowOffline(const HubSettings& settings, const RepoReference& reference,
                               const std::string& why);

/// "1.2 GB", "340 kB": powers of 1000.
std::string ShowBytes(std::uint64_t bytes);

}  // namespace forge::hub

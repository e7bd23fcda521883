// SPDX-License-Identifier: Apache-2.0
#include "hub/pull.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/error.h"
#include "hub/blob_download.h"
#include "hub/file_lock.h"
#include "hub/hub_client.h"
#include "hub/model_files.h"
#include "hub/partial_file.h"
#include "hub/repo_cache.h"

namespace forge::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSpareBytes = 64 << 20;  // left free: a full disk breaks other programs too

/// Every file's checksum and size.
std::vector<FileInfo> LookUpAll(HubClient& client, const RepoReference& reference, const std::string& commit,
                                const std::vector<std::string>& names, MetricSink& sink) {
  std::vector<FileInfo> infos;
  for (const std::string& name : names) {
    infos.push_back(client.LookUp(reference, commit, name));
    sink.Progress("look up", static_cast<std::int64_t>(infos.size()), static_cast<std::int64_t>(names.size()),
                  "files");
  }
  return infos;
}

/// So much of the file is on the disk already; holes do not count.
std::uint64_t BytesOnDisk(const fs::path& path, std::uint64_t bytes, std::uint64_t segment_bytes) {
  std::error_code missing;
  if (!fs::exists(path, missing)) return 0;
  return PartialFile(path, bytes, segment_bytes).done_bytes();
}

void CheckDisk(const fs::path& folder, std::uint64_t needed) {
  std::error_code unknown;
  const fs::space_info space = fs::space(folder, unknown);
  if (unknown || needed + kSpareBytes <= space.available) return;
  throw Error(
      {.kind = ErrorKind::kEnvironment,
       .what = fmt::format("not enough disk space in {}", folder.string()),
       .why = fmt::format("{} are to come, and {} are free", ShowBytes(needed), ShowBytes(space.available)),
       .fix = "free some space, or set HF_HOME to a folder on another disk; nothing was fetched"});
}

/// The blobs that are not in the cache, each once, in the order of their names.
std::map<std::string, FileInfo> Missing(const RepoCache& cache, const std::vector<FileInfo>& infos) {
  std::map<std::string, FileInfo> missing;
  for (const FileInfo& info : infos)
    if (!fs::exists(cache.Blob(info.etag))) missing.emplace(info.etag, info);
  return missing;
}

void ShowPlan(const RepoReference& reference, const RevisionInfo& revision,
              const std::vector<FileInfo>& infos, const std::map<std::string, FileInfo>& missing,
              std::uint64_t resumed, MetricSink& sink) {
  std::uint64_t all = 0, to_come = 0;
  for (const FileInfo& info : infos) all += info.bytes;
  for (const auto& [etag, info] : missing) to_come += info.bytes;
  std::string line =
      fmt::format("{} at {}: {} of {} files, {}", reference.repo.id, revision.commit.substr(0, 12),
                  infos.size(), revision.files.size(), ShowBytes(all));
  if (missing.empty())
    line += ", all in the cache";
  else
    line += fmt::format("; {} to fetch{}", ShowBytes(to_come - resumed),
                        resumed > 0 ? fmt::format(", {} came before", ShowBytes(resumed)) : "");
  sink.Log(line);
}

void FetchMissing(const HubSettings& settings, const RepoReference& reference, const RevisionInfo& revision,
                  const std::vector<FileInfo>& infos, MetricSink& sink, const StopToken& stop) {
  const RepoCache cache(settings.cache, reference.repo);
  std::vector<FileLock> locks;  // in the order of their names, so that two of us never wait for each other
  for (const auto& [etag, info] : Missing(cache, infos)) locks.emplace_back(cache.Lock(etag), stop);
  const std::map<std::string, FileInfo> missing =
      Missing(cache, infos);  // others may have fetched some meanwhile
  std::uint64_t bytes = 0, resumed = 0;
  std::vector<BlobJob> jobs;
  for (const auto& [etag, info] : missing) {
    bytes += info.bytes;
    resumed += BytesOnDisk(cache.Incomplete(etag), info.bytes, settings.segment_bytes);
    jobs.push_back({.url = FileUrl(settings, reference.repo, revision.commit, info.name),
                    .info = info,
                    .incomplete = cache.Incomplete(etag),
                    .blob = cache.Blob(etag)});
  }
  ShowPlan(reference, revision, infos, missing, resumed, sink);
  if (jobs.empty()) return;
  CheckDisk(cache.folder(), bytes - resumed);
  // Large files first: their ranges keep all connections busy to the end.
  std::stable_sort(jobs.begin(), jobs.end(),
                   [](const BlobJob& a, const BlobJob& b) { return a.info.bytes > b.info.bytes; });
  DownloadBlobs(settings, reference, std::move(jobs), sink, stop, [](const BlobJob&) {});
}

/// The files whose contents are there; what has no checksum in its name (a copy, where links are not
/// possible) gets none.
PullResult ChooseFromCache(const HubSettings& settings, const RepoReference& reference,
                           const FileChooser& choose) {
  const RepoCache cache(settings.cache, reference.repo);
  const std::optional<fs::path> snapshot = cache.FindSnapshot(reference.revision);
  if (!snapshot) ThrowOffline(settings, reference, "there is no snapshot of it in the cache");
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(*snapshot))
    if (entry.exists() && !entry.is_directory()) files.push_back(entry.path().lexically_relative(*snapshot));
  std::sort(files.begin(), files.end());
  PullResult result{.snapshot = *snapshot, .commit = *cache.CommitOf(reference.revision), .files = {}};
  for (const std::string& name : choose(files)) {
    const fs::path file = *snapshot / name;
    result.files.push_back({.name = name,
                            .etag = fs::is_symlink(file) ? fs::read_symlink(file).filename().string() : "",
                            .bytes = fs::file_size(file),
                            .was_there = true});
  }
  return result;
}

}  // namespace

PullResult Pull(const HubSettings& settings, const RepoReference& reference, const FileChooser& choose,
                MetricSink& sink, const StopToken& stop) {
  if (settings.offline) return ChooseFromCache(settings, reference, choose);
  HubClient client(settings, stop, [&](const std::string& line) { sink.Log(line); });
  const RevisionInfo revision = client.Resolve(reference);
  const std::vector<FileInfo> infos =
      LookUpAll(client, reference, revision.commit, choose(revision.files), sink);
  const RepoCache cache(settings.cache, reference.repo);
  if (infos.empty())
    return {.snapshot = cache.Snapshot(revision.commit), .commit = revision.commit, .files = {}};
  cache.Prepare();
  PullResult result{.snapshot = cache.Snapshot(revision.commit), .commit = revision.commit};
  for (const FileInfo& info : infos)
    result.files.push_back({info.name, info.etag, info.bytes, fs::exists(cache.Blob(info.etag))});
  FetchMissing(settings, reference, revision, infos, sink, stop);
  for (const FileInfo& info : infos) cache.Link(revision.commit, info.name, info.etag);
  cache.WriteRef(reference.revision, revision.commit);
  return result;
}

PullResult PullModel(const HubSettings& settings, const RepoReference& reference,
                     const std::vector<std::string>& include, MetricSink& sink, const StopToken& stop) {
  if (!settings.offline)
    return Pull(
        settings, reference,
        [&](const std::vector<std::string>& files) {
          return ChooseModelFiles(reference.repo, files, include);
        },
        sink, stop);
  const PullResult result = ChooseFromCache(settings, reference, [&](const std::vector<std::string>& files) {
    for (const std::string& glob : include)
      if (std::none_of(files.begin(), files.end(),
                       [&](const std::string& file) { return MatchesGlob(file, glob); }))
        ThrowOffline(settings, reference, fmt::format("no file in the cache matches {}", glob));
    return files;
  });
  if (include.empty() && !FindModelIn(result.snapshot))
    ThrowOffline(settings, reference, "only some of its files are in the cache");
  return result;
}

bool IsInCache(const HubSettings& settings, const RepoReference& reference) {
  return RepoCache(settings.cache, reference.repo).FindSnapshot(reference.revision).has_value();
}

std::optional<fs::path> FindPulledModel(const fs::path& cache, const std::string& name) {
  const std::size_t at = name.find('@');
  const std::string id = name.substr(0, at);
  if (!IsRepoId(id) || id.find('/') == std::string::npos) return std::nullopt;
  if (at != std::string::npos && !IsRevision(name.substr(at + 1))) return std::nullopt;
  const RepoReference reference = ParseRepoReference(name, RepoKind::kModel);
  const auto snapshot = RepoCache(cache, reference.repo).FindSnapshot(reference.revision);
  return snapshot ? FindModelIn(*snapshot) : std::nullopt;
}

void ThrowOffline(const HubSettings& settings, const RepoReference& reference, const std::string& why) {
  throw Error({.kind = ErrorKind::kEnvironment,
               .what = fmt::format("cannot get {}@{} offline", reference.repo.id, reference.revision),
               .why = fmt::format("{} ({})", why, settings.cache.string()),
               .fix = "pull it once without --offline and with HF_HUB_OFFLINE unset"});
}

std::string ShowBytes(std::uint64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (value < 1e3) return fmt::format("{} bytes", bytes);
  if (value < 1e6) return fmt::format("{:.3g} kB", value / 1e3);
  if (value < 1e9) return fmt::format("{:.3g} MB", value / 1e6);
  return fmt::format("{:.3g} GB", value / 1e9);
}

}  // namespace forge::hub

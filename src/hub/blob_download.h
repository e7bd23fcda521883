// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/metric_sink.h"
#include "base/stop_token.h"
#include "hub/hub_answers.h"
#include "hub/hub_settings.h"
#include "hub/repo.h"

namespace forge::hub {

struct BlobJob {
  std::string url;
  FileInfo info;
  std::filesystem::path incomplete;  // partial_file.h; what an earlier try left there is used
  std::filesystem::path blob;        // appears when it is complete and its checksum is right
};

/// Fetches blobs over `settings.connections` connections: several files at once, and ranges of large ones. A
/// server without ranges gets one request for the whole file.
///
/// What came stays when it ends early, and counts when it is called again: the address names a commit and the
/// partial file the checksum, so that both pieces are of the same content. A wrong checksum of a file that
/// was put together from an earlier try makes it fetch that file again, once.
///
/// Reports to `sink` from the calling thread. `finished` is called, from any thread but one at a time, for
/// each blob that appeared. Throws the first Error after all connections have ended: kInput for a wrong
/// length or checksum and for refused access, kEnvironment for network, server and disk, kInterrupted when
/// stopped.
void DownloadBlobs(const HubSettings& settings, const RepoReference& reference, std::vector<BlobJob> jobs,
                   MetricSink& sink, const StopToken& stop,
                   const std::function<void(const BlobJob&)>& finished);

}  // namespace forge::hub

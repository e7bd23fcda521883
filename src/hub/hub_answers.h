// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/http_client.h"

namespace forge::hub {

/// What a hub says is checked before it becomes a path or a size: it comes from the network, and HF_ENDPOINT
/// may be anybody's.

/// The answer to GET /api/models/ID/revision/REV: {"sha": ..., "siblings": [{"rfilename": ...}, ...]}.
struct RevisionInfo {
  std::string commit;              // 40 hexadecimal digits
  std::vector<std::string> files;  // in the hub's order; each safe to join to a folder, none twice
};
/// Throws Error(kInput), naming `source`, for anything else: no commit, names that leave the folder, a name
/// that is a file and a folder.
RevisionInfo ParseRevisionInfo(std::string_view body, const std::string& source);

/// The answer to HEAD /ID/resolve/COMMIT/FILE, not followed to another host.
struct FileInfo {
  std::string name;
  /// Of the content: sha256 of large files (64 digits), git's id of others (40). The blob's name in the
  /// cache.
  std::string etag;
  std::uint64_t bytes = 0;

  bool has_sha256() const { return etag.size() == 64; }
};
/// X-Linked-Etag and X-Linked-Size of a file that lies elsewhere, else ETag and Content-Length. Throws
/// Error(kInput) without a checksum or a size that can be, or if X-Repo-Commit is not `commit`.
FileInfo ParseFileInfo(const std::string& name, const std::string& commit, const io::HttpResponse& head);

}  // namespace forge::hub

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace forge::hub {

enum class RepoKind { kModel, kDataset };

/// A repository of a Hugging Face hub.
struct Repo {
  RepoKind kind = RepoKind::kModel;
  std::string id;  // OWNER/NAME, or NAME for the few old ones without an owner

  /// "models--OWNER--NAME", its folder in the cache.
  std::string FolderName() const;
  /// "/api/models/OWNER/NAME".
  std::string ApiPath() const;
  /// "/OWNER/NAME", "/datasets/OWNER/NAME": its page, and what /resolve follows.
  std::string PagePath() const;

  bool operator==(const Repo&) const = default;
};

struct RepoReference {
  Repo repo;
  std::string revision = "main";  // a branch, a tag, a commit, or refs/pr/N
};

/// OWNER/NAME or OWNER/NAME@REVISION. Throws Error(kUsage) for what cannot be the name of a repository.
RepoReference ParseRepoReference(std::string_view text, RepoKind kind);

/// The hub's rule for names: at most 96 letters, digits and ._- in one or two parts; no "--", no "..",
/// nothing but a letter, a digit or _ at the ends of a part. So the folder name in the cache cannot be
/// ambiguous.
bool IsRepoId(std::string_view text);
/// A name that git could have for a branch or tag, and a cache for a file below refs/.
bool IsRevision(std::string_view text);
/// A full commit: 40 hexadecimal digits in lower case.
bool IsCommit(std::string_view text);
/// Whether a file name from the hub stays inside the folder that it is joined to: relative, no empty part, no
/// "." or "..", no control characters, no part longer than 255 bytes.
bool IsSafeFileName(std::string_view name);

/// Percent-encoded for an address, / kept unless `whole` (a revision in one part of a path).
std::string EscapeForUrl(std::string_view text, bool whole);

}  // namespace forge::hub

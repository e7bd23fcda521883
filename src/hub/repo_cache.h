// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "hub/repo.h"

namespace forge::hub {

/// The part of a Hugging Face cache that belongs to one repository, in the layout of huggingface_hub, which
/// finds what forge pulled there and the other way round:
///
///   <cache>/models--OWNER--NAME/
///     blobs/<etag>                     the contents, each once
///     refs/main                        the commit that main meant, 40 digits, no newline
///     snapshots/<commit>/config.json   -> ../../blobs/<etag>, a relative link
///   <cache>/.locks/models--OWNER--NAME/<etag>.lock
///   <cache>/CACHEDIR.TAG               tells backup programs to leave it out
///
/// While it is fetched, a blob is blobs/<etag>.forge.incomplete (partial_file.h).
class RepoCache {
 public:
  RepoCache(std::filesystem::path cache, const Repo& repo);

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path Blob(const std::string& etag) const { return folder_ / "blobs" / etag; }
  std::filesystem::path Incomplete(const std::string& etag) const;
  std::filesystem::path Lock(const std::string& etag) const;
  std::filesystem::path Snapshot(const std::string& commit) const { return folder_ / "snapshots" / commit; }

  /// The commit of a revision, as it was when last pulled; a commit is its own.
  std::optional<std::string> CommitOf(const std::string& revision) const;
  /// The folder of that commit, if it is there. It may hold some of the files only.
  std::optional<std::filesystem::path> FindSnapshot(const std::string& revision) const;

  /// Makes blobs/ and the tag. Throws Error(kEnvironment).
  void Prepare() const;
  /// Puts the blob into a snapshot under the file's name.
  void Link(const std::string& commit, const std::string& file, const std::string& etag) const;
  /// After everything is linked. Nothing is written for a commit.
  void WriteRef(const std::string& revision, const std::string& commit) const;

 private:
  std::filesystem::path cache_, folder_;
};

/// "NAME" of .../models--OWNER--NAME/snapshots/<commit>, whose own name tells a reader nothing; empty for any
/// other folder.
std::string NameOfSnapshot(const std::filesystem::path& folder);

}  // namespace forge::hub

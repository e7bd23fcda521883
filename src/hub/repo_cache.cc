// SPDX-License-Identifier: Apache-2.0
#include "hub/repo_cache.h"

#include <unistd.h>

#include "base/error.h"
#include "io/atomic_file.h"

namespace forge::hub {
namespace {

namespace fs = std::filesystem;

constexpr char kTagText[] =  // https://bford.info/cachedir/
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This folder is a cache of files from a Hugging Face hub; backups may leave it out.\n";

}  // namespace

RepoCache::RepoCache(fs::path cache, const Repo& repo)
    : cache_(std::move(cache)), folder_(cache_ / repo.FolderName()) {}

fs::path RepoCache::Incomplete(const std::string& etag) const {
  return folder_ / "blobs" / (etag + ".forge.incomplete");
}

fs::path RepoCache::Lock(const std::string& etag) const {
  return cache_ / ".locks" / folder_.filename() / (etag + ".lock");
}

std::optional<std::string> RepoCache::CommitOf(const std::string& revision) const {
  if (IsCommit(revision)) return revision;
  const fs::path path = folder_ / "refs" / revision;
  std::error_code missing;
  if (!fs::is_regular_file(path, missing)) return std::nullopt;
  std::string commit = io::ReadFile(path);
  if (commit.ends_with('\n')) commit.pop_back();  // edited by hand
  if (!IsCommit(commit)) return std::nullopt;
  return commit;
}

std::optional<fs::path> RepoCache::FindSnapshot(const std::string& revision) const {
  const std::optional<std::string> commit = CommitOf(revision);
  std::error_code missing;
  if (!commit || !fs::is_directory(Snapshot(*commit), missing)) return std::nullopt;
  return Snapshot(*commit);
}

void RepoCache::Prepare() const {
  io::CreateFolders(folder_ / "blobs");
  if (!fs::exists(cache_ / "CACHEDIR.TAG")) io::WriteFileAtomically(cache_ / "CACHEDIR.TAG", kTagText);
}

void RepoCache::Link(const std::string& commit, const std::string& file, const std::string& etag) const {
  const fs::path link = Snapshot(commit) / file;
  io::CreateFolders(link.parent_path());
  const fs::path target = Blob(etag).lexically_relative(link.parent_path());
  std::error_code error;
  if (fs::is_symlink(link) && fs::read_symlink(link, error) == target) return;
  fs::path temporary = link;
  temporary += ".forge-link-" + std::to_string(getpid());
  fs::remove(temporary, error);
  fs::create_symlink(target, temporary, error);
  if (!error) fs::rename(temporary, link, error);
  if (!error) return;
  throw Error({.kind = ErrorKind::kEnvironment,
               .what = "cannot link " + link.string(),
               .why = error.message(),
               .fix = "set HF_HOME to a folder on a file system that has symbolic links"});
}

void RepoCache::WriteRef(const std::string& revision, const std::string& commit) const {
  if (revision == commit || CommitOf(revision) == commit) return;
  const fs::path path = folder_ / "refs" / revision;
  io::CreateFolders(path.parent_path());
  io::WriteFileAtomically(path, commit);
}

std::string NameOfSnapshot(const fs::path& folder) {
  const std::string repository = folder.parent_path().parent_path().filename();
  if (!IsCommit(folder.filename().string()) || folder.parent_path().filename() != "snapshots" ||
      !repository.starts_with("models--"))
    return "";
  return repository.substr(repository.rfind("--") + 2);
}

}  // namespace forge::hub

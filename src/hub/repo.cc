// SPDX-License-Identifier: Apache-2.0
#include "hub/repo.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace forge::hub {
namespace {

constexpr std::size_t kMaxIdBytes = 96;                               // huggingface_hub's validate_repo_id
constexpr std::size_t kMaxRevisionBytes = 255;                        // it becomes a file name
constexpr std::size_t kMaxFileNameBytes = 4096, kMaxPartBytes = 255;  // PATH_MAX, NAME_MAX

bool IsLetterOrDigit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool IsControl(char c) { return static_cast<unsigned char>(c) < 32 || c == 127; }

bool IsIdPart(std::string_view part) {
  const auto is_end = [](char c) { return IsLetterOrDigit(c) || c == '_'; };
  return !part.empty() && is_end(part.front()) && is_end(part.back()) &&
         std::all_of(part.begin(), part.end(), [&](char c) { return is_end(c) || c == '.' || c == '-'; });
}

/// Calls use(part) for each part between slashes; false as soon as one call is.
template <class Use>
bool EachPart(std::string_view path, const Use& use) {
  for (std::size_t at = 0;;) {
    const std::size_t slash = path.find('/', at);
    if (!use(path.substr(at, slash == std::string_view::npos ? slash : slash - at))) return false;
    if (slash == std::string_view::npos) return true;
    at = slash + 1;
  }
}

}  // namespace

std::string Repo::FolderName() const {
  std::string name = (kind == RepoKind::kModel ? "models--" : "datasets--") + id;
  if (const std::size_t slash = name.find('/'); slash != std::string::npos) name.replace(slash, 1, "--");
  return name;
}

std::string Repo::ApiPath() const {
  return (kind == RepoKind::kModel ? "/api/models/" : "/api/datasets/") + id;
}

std::string Repo::PagePath() const { return (kind == RepoKind::kModel ? "/" : "/datasets/") + id; }

RepoReference ParseRepoReference(std::string_view text, RepoKind kind) {
  const std::size_t at = text.find('@');
  RepoReference reference{.repo = {kind, std::string(text.substr(0, at))}};
  if (!IsRepoId(reference.repo.id))
    throw Error({.kind = ErrorKind::kUsage,
                 .what = fmt::format("{} is no repository of the hub", text),
                 .why = "a name is OWNER/NAME of letters, digits and ._-, as on its page",
                 .fix = "for example HuggingFaceTB/SmolLM2-135M"});
  if (at == std::string_view::npos) return reference;
  reference.revision = text.substr(at + 1);
  if (!IsRevision(reference.revision))
    throw Error({.kind = ErrorKind::kUsage,
                 .what = fmt::format("{} is no revision of {}", reference.revision, reference.repo.id),
                 .why = "after the @ comes a branch, a tag or a commit",
                 .fix = "leave @ and the revision out for main"});
  return reference;
}

bool IsRepoId(std::string_view text) {
  if (text.size() > kMaxIdBytes || text.find("--") != std::string_view::npos ||
      text.find("..") != std::string_view::npos || text.ends_with(".git"))
    return false;
  return std::count(text.begin(), text.end(), '/') <= 1 && EachPart(text, IsIdPart);
}

bool IsRevision(std::string_view text) {
  return text.size() <= kMaxRevisionBytes && IsSafeFileName(text) &&
         text.find_first_of(" ~^:?*[\\") == std::string_view::npos &&
         text.find("..") == std::string_view::npos;
}

bool IsCommit(std::string_view text) {
  return text.size() == 40 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool IsSafeFileName(std::string_view name) {
  return name.size() <= kMaxFileNameBytes && std::none_of(name.begin(), name.end(), IsControl) &&
         EachPart(name, [](std::string_view part) {
           return !part.empty() && part != "." && part != ".." && part.size() <= kMaxPartBytes;
         });
}

std::string EscapeForUrl(std::string_view text, bool whole) {
  std::string escaped;
  for (const char c : text) {
    if (IsLetterOrDigit(c) || c == '.' || c == '-' || c == '_' || c == '~' || (c == '/' && !whole))
      escaped += c;
    else
      escaped += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return escaped;
}

}  // namespace forge::hub

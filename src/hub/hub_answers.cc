// SPDX-License-Identifier: Apache-2.0
#include "hub/hub_answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include "base/error.h"
#include "hub/repo.h"
#include "io/json_file.h"

namespace forge::hub {
namespace {

constexpr std::uint64_t kMaxFileBytes = 1ull
                                        << 50;  // 1 PiB: beyond it, sums could overflow and nobody serves it

[[noreturn]] void Fail(const std::string& source, std::string why) {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot use the answer of " + source,
               .why = std::move(why),
               .fix = "check HF_ENDPOINT and the proxy: this does not answer as a Hugging Face hub does"});
}

/// What of a name is fit to be shown.
std::string Shown(const std::string& name) {
  return io::Json(name.substr(0, 100)).dump(-1, ' ', true, io::Json::error_handler_t::replace);
}

void CheckNoFileIsAFolder(const std::set<std::string>& names, const std::string& source) {
  for (const std::string& name : names)
    for (std::size_t slash = name.find('/'); slash != std::string::npos; slash = name.find('/', slash + 1))
      if (names.contains(name.substr(0, slash)))
        Fail(source, fmt::format("{} is a file and a folder in it", Shown(name.substr(0, slash))));
}

std::string NormalizedEtag(std::string etag) {
  if (etag.starts_with("W/")) etag.erase(0, 2);
  std::erase(etag, '"');
  return etag;
}

bool IsChecksum(const std::string& etag) {
  return (etag.size() == 40 || etag.size() == 64) &&
         etag.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::optional<std::uint64_t> ParseSize(const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > kMaxFileBytes) return std::nullopt;
  return value;
}

}  // namespace

RevisionInfo ParseRevisionInfo(std::string_view body, const std::string& source) {
  const io::Json answer = io::ParseJson(body, "the answer of " + source);
  if (!answer.is_object()) Fail(source, "it is no JSON object");
  RevisionInfo info;
  if (const auto sha = answer.find("sha"); sha != answer.end() && sha->is_string()) info.commit = *sha;
  if (!IsCommit(info.commit)) Fail(source, "its sha is no commit of 40 hexadecimal digits");
  const auto siblings = answer.find("siblings");
  if (siblings == answer.end() || !siblings->is_array()) Fail(source, "it has no list of siblings");
  std::set<std::string> names;
  for (const io::Json& sibling : *siblings) {
    const auto name = sibling.is_object() ? sibling.find("rfilename") : sibling.end();
    if (!sibling.is_object() || name == sibling.end() || !name->is_string())
      Fail(source, "a sibling has no rfilename");
    if (!IsSafeFileName(name->get_ref<const std::string&>()))
      Fail(source, fmt::format("it names a file {}, which would not stay in its folder", Shown(*name)));
    if (names.insert(*name).second) info.files.push_back(*name);
  }
  CheckNoFileIsAFolder(names, source);
  return info;
}

FileInfo ParseFileInfo(const std::string& name, const std::string& commit, const io::HttpResponse& head) {
  const std::string given = head.Header("x-repo-commit").value_or("");
  if (given != commit)
    Fail(head.url, given.empty() ? "it has no X-Repo-Commit"
                                 : fmt::format("it is of commit {}, not {}", Shown(given), commit));
  FileInfo info{.name = name};
  info.etag = NormalizedEtag(head.Header("x-linked-etag").value_or(head.Header("etag").value_or("")));
  if (!IsChecksum(info.etag))
    Fail(head.url, fmt::format("its ETag {} is neither a sha256 nor a git id, so the file cannot be checked",
                               Shown(info.etag)));
  // A redirect's Content-Length is that of its own text.
  const auto length = head.status / 100 == 2 ? head.Header("content-length") : std::nullopt;
  const auto bytes = ParseSize(head.Header("x-linked-size").value_or(length.value_or("")));
  if (!bytes) Fail(head.url, "it has no usable X-Linked-Size or Content-Length");
  info.bytes = *bytes;
  return info;
}

}  // namespace forge::hub
